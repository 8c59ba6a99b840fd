"""A method made ready: decoders and encoders compiled once, so that a call costs a decode, the method and an encode."""

from __future__ import annotations

from types import NoneType
from typing import Final, get_args

import msgspec

from runtime.hosting.codec import MSGPACK, msgpack_decoder
from runtime.hosting.errors import ArgumentsInvalid
from runtime.sdk.domain import DomainError
from runtime.sdk.signature import MethodReading, ParameterReading
from runtime.sdk.wiretypes import exact_class, is_shareable, type_text

Arguments = tuple[object, ...]
_NO_ARGUMENTS: Final = (b"", b"\x90")  # nothing, or msgpack's empty array


class ReplyTypeWrong(Exception):
    """The method returned something else than it declares. Names both types; for the log, never for the caller."""


class MethodPlan:
    """How one method's arguments and reply travel. Holds no state of calls."""

    __slots__ = (
        "_decoder",
        "_defaults",
        "_exact_arguments",
        "_exact_replies",
        "_reply_decoder",
        "_returns",
        "errors",
        "reading",
        "shares_reply",
    )

    def __init__(self, reading: MethodReading) -> None:
        self.reading = reading
        self.errors: frozenset[type[DomainError]] = frozenset(reading.errors)
        self._defaults = any(not parameter.required for parameter in reading.parameters)
        self._decoder = msgpack_decoder(arguments_type(reading)) if reading.parameters else None
        self._exact_arguments = tuple(
            exact_classes(parameter.annotation) if is_shareable(parameter.annotation) else frozenset()
            for parameter in reading.parameters
        )
        self._returns = reading.returns
        self._exact_replies = exact_classes(reading.returns)
        self._reply_decoder = msgpack_decoder(reading.returns)
        self.shares_reply = is_shareable(reading.returns)

    def arguments(self, payload: bytes) -> Arguments:
        """The arguments of a call, in order. Raises ArgumentsInvalid."""
        if self._decoder is None:
            if payload not in _NO_ARGUMENTS:
                raise ArgumentsInvalid(f"{self.reading.name} takes no arguments")
            return ()
        try:
            decoded = self._decoder.decode(payload)
        except msgspec.DecodeError as error:  # ValidationError is one
            raise ArgumentsInvalid(f"{self.reading.name}: {error}") from None
        if self._defaults:
            assert isinstance(decoded, msgspec.Struct)
            return msgspec.structs.astuple(decoded)
        assert isinstance(decoded, tuple)
        return decoded

    def handed_over(self, arguments: Arguments) -> Arguments:
        """What a callee in the same process gets: the very values where nobody can change them, else copies, so
        that a local call behaves as a remote one does. Raises ArgumentsInvalid."""
        for value, exact in zip(arguments, self._exact_arguments, strict=False):
            if type(value) not in exact:
                return self.arguments(encode_arguments(self.reading.name, arguments))
        return arguments

    def reply(self, value: object) -> bytes:
        """The reply's msgpack. Raises ReplyTypeWrong."""
        try:
            raw = MSGPACK.encode(value)
            if type(value) not in self._exact_replies:
                self._reply_decoder.decode(raw)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self.wrong_reply(value, error) from None
        return raw

    def handed_back(self, value: object) -> object:
        """What a caller in the same process gets. Raises ReplyTypeWrong."""
        if self.shares_reply and type(value) in self._exact_replies:
            return value
        return self._reply_decoder.decode(self.reply(value))

    def is_exact(self, value: object) -> bool:
        """Whether the value's class alone shows that it is a reply of this method."""
        return type(value) in self._exact_replies

    def wrong_reply(self, value: object, why: Exception) -> ReplyTypeWrong:
        return ReplyTypeWrong(
            f"{self.reading.name} returned {type(value).__qualname__} where it declares "
            f"{type_text(self._returns)}: {why}"
        )


def encode_arguments(method: str, arguments: Arguments) -> bytes:
    """The payload of a plain call. Raises ArgumentsInvalid for a value that cannot travel."""
    try:
        return MSGPACK.encode(arguments)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ArgumentsInvalid(f"{method}: {error}") from None


def arguments_type(reading: MethodReading) -> object:
    """A tuple type where all arguments must come, else an array-like Struct that fills in the defaults."""
    if all(parameter.required for parameter in reading.parameters):
        return tuple.__class_getitem__(tuple(parameter.annotation for parameter in reading.parameters))
    return msgspec.defstruct(
        f"{reading.name}_arguments",
        [_field(parameter) for parameter in reading.parameters],
        array_like=True,
        frozen=True,
        forbid_unknown_fields=True,
    )


def exact_classes(annotation: object) -> frozenset[type]:
    """The classes whose instances surely fit: one, or those of a union of plain classes; else none."""
    one = exact_class(annotation)
    if one is not None:
        return frozenset((one,))
    parts = get_args(annotation) if type(annotation).__name__ in ("UnionType", "_UnionGenericAlias") else ()
    classes = [NoneType if part is None else exact_class(part) for part in parts]
    return frozenset(found for found in classes if found is not None)


def _field(parameter: ParameterReading) -> tuple[str, type] | tuple[str, type, object]:
    kind: type = parameter.annotation  # type: ignore[assignment]  # an annotation, which msgspec takes
    if parameter.required:
        return (parameter.name, kind)
    default = parameter.default
    return (parameter.name, kind, msgspec.field(default_factory=lambda: default))
