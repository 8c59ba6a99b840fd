"""What a type annotation means on the wire: simple text, JSON, raw bytes, or nothing that can travel."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from enum import Enum
from typing import get_args

from msgspec import inspect as shapes


class WireKind(Enum):
    """SIMPLE fits a path segment or header, REPEATED a query string, STRUCTURED and RAW a body."""

    SIMPLE = "simple"
    REPEATED = "repeated"
    STRUCTURED = "structured"
    RAW = "raw"


_SIMPLE = (
    shapes.BoolType,
    shapes.IntType,
    shapes.FloatType,
    shapes.StrType,
    shapes.UUIDType,
    shapes.DateTimeType,
    shapes.DateType,
    shapes.TimeType,
    shapes.TimeDeltaType,
    shapes.DecimalType,
    shapes.EnumType,
    shapes.LiteralType,
    shapes.NoneType,
)
_LISTS = (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)


def is_pydantic(cls: object) -> bool:
    """Whether `cls` is a pydantic model. Never imports pydantic: a model can only exist where that was done."""
    module = sys.modules.get("pydantic")
    return module is not None and isinstance(cls, type) and issubclass(cls, module.BaseModel)


def wire_kind(annotation: object) -> WireKind:
    """Raises TypeError, saying which part cannot travel."""
    shape = _shape(annotation)
    if isinstance(shape, shapes.AnyType):
        raise TypeError("Any cannot be checked")
    for part in _walk(shape, seen=set()):
        if isinstance(part, shapes.CustomType) and not is_pydantic(part.cls):
            raise TypeError(f"{part.cls.__qualname__} has no form on the wire")
        if isinstance(part, shapes.ExtType):
            raise TypeError("msgpack extensions have no form in JSON")
    return _kind(shape)


def is_shareable(annotation: object) -> bool:
    """Whether values of the type cannot be changed, so that a call inside one process may pass them as they are."""
    return all(_is_frozen(part) for part in _walk(_shape(annotation), seen=set()))


def exact_class(annotation: object) -> type | None:
    """The class whose very instances need no further look, for types that are one class and carry no constraint."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation
    return type(None) if annotation is None else None


def type_text(annotation: object) -> str:
    """The type as people read it: without module names."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__qualname__
    words = str(annotation).replace("typing.", "").split("[")
    return "[".join(", ".join(part.rsplit(".", 1)[-1] for part in word.split(", ")) for word in words)


def _shape(annotation: object) -> shapes.Type:
    try:
        return shapes.type_info(annotation)
    except (TypeError, NameError) as error:
        raise TypeError(str(error)) from None


def _kind(shape: shapes.Type) -> WireKind:
    if isinstance(shape, shapes.Metadata):
        return _kind(shape.type)
    if isinstance(shape, _SIMPLE):
        return WireKind.SIMPLE
    if isinstance(shape, shapes.BytesType):
        return WireKind.RAW
    if isinstance(shape, shapes.UnionType):
        kinds = {_kind(part) for part in shape.types if not isinstance(part, shapes.NoneType)}
        return kinds.pop() if len(kinds) == 1 else WireKind.STRUCTURED
    if isinstance(shape, _LISTS) and _kind(shape.item_type) is WireKind.SIMPLE:
        return WireKind.REPEATED
    return WireKind.STRUCTURED


def _walk(shape: shapes.Type, *, seen: set[type]) -> Iterator[shapes.Type]:
    """The shape and everything inside it, each class once."""
    yield shape
    cls = getattr(shape, "cls", None)
    if isinstance(cls, type):
        if cls in seen:
            return
        seen.add(cls)
    for part in _parts(shape):
        yield from _walk(part, seen=seen)


def _parts(shape: shapes.Type) -> Iterator[shapes.Type]:
    match shape:
        case shapes.UnionType():
            yield from shape.types
        case shapes.Metadata():
            yield shape.type
        case shapes.ListType() | shapes.VarTupleType() | shapes.SetType() | shapes.FrozenSetType():
            yield shape.item_type
        case shapes.TupleType():
            yield from shape.item_types
        case shapes.DictType():
            yield shape.key_type
            yield shape.value_type
        case shapes.StructType() | shapes.DataclassType() | shapes.TypedDictType() | shapes.NamedTupleType():
            for member in shape.fields:
                yield member.type
        case _:
            return


def _is_frozen(shape: shapes.Type) -> bool:
    if isinstance(shape, shapes.StructType):
        return bool(shape.cls.__struct_config__.frozen)
    if isinstance(shape, shapes.DataclassType):
        parameters = getattr(shape.cls, "__dataclass_params__", None)
        return dataclasses.is_dataclass(shape.cls) and bool(getattr(parameters, "frozen", False))
    frozen = (shapes.UnionType, shapes.Metadata, shapes.VarTupleType, shapes.TupleType, shapes.FrozenSetType)
    return isinstance(shape, (*_SIMPLE, *frozen, shapes.BytesType, shapes.NamedTupleType))
