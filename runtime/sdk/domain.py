"""Errors of the application's own domain: typed, declared on the method, the same to local and remote callers."""

from __future__ import annotations

import re
from inspect import get_annotations
from typing import ClassVar, Final, Self, dataclass_transform, get_type_hints

import msgspec

_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass_transform(kw_only_default=True, eq_default=False)
class DomainError(Exception):
    """Base of an application's errors. Annotated attributes are fields, set by keyword and carried to the caller.

    `status` is the HTTP status; `code` names the error on the wire and is the class's name in snake case by default.
    `retryable` says whether the same call may succeed after a moment.
    """

    status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False
    code: ClassVar[str] = "domain_error"
    field_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        if "code" not in cls.__dict__:
            cls.code = _WORD.sub("_", cls.__name__).lower()
        own = [name for name, hint in get_annotations(cls).items() if "ClassVar" not in str(hint)]
        cls.field_names = tuple(dict.fromkeys((*cls.field_names, *own)))

    def __init__(self, **fields: object) -> None:
        cls = type(self)
        unknown = fields.keys() - set(cls.field_names)
        missing = [name for name in cls.field_names if name not in fields and not hasattr(cls, name)]
        if unknown or missing:
            raise TypeError(f"{cls.__name__}: unknown fields {sorted(unknown)}, missing fields {missing}")
        for name, value in fields.items():
            setattr(self, name, value)
        super().__init__(*fields.values())

    def __str__(self) -> str:
        title = type(self).code.replace("_", " ")
        values = ", ".join(f"{name}={value!r}" for name, value in self.fields().items())
        return f"{title}: {values}" if values else title

    def fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in type(self).field_names}

    @classmethod
    def from_fields(cls, payload: bytes) -> Self:
        """The error again, from the msgpack of its fields. Raises msgspec.ValidationError."""
        shape: type[msgspec.Struct] = fields_struct(cls)
        record = msgspec.msgpack.decode(payload, type=shape)
        return cls(**msgspec.structs.asdict(record))


_SHAPES: Final[dict[type, type[msgspec.Struct]]] = {}


def fields_struct(error: type[DomainError]) -> type[msgspec.Struct]:
    """The shape of an error's fields, made once. Raises NameError for an annotation that cannot be resolved."""
    made = _SHAPES.get(error)
    if made is None:
        made = _SHAPES[error] = _make_struct(error)
    return made


def _make_struct(error: type[DomainError]) -> type[msgspec.Struct]:
    hints = get_type_hints(error)
    fields: list[tuple[str, type] | tuple[str, type, object]] = [
        (name, hints[name], getattr(error, name)) if hasattr(error, name) else (name, hints[name])
        for name in error.field_names
    ]
    return msgspec.defstruct(f"{error.__name__}Fields", fields, kw_only=True, frozen=True)
