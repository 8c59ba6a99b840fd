"""Types of members in words, for the reference, and as Python, for the client's stub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import inspect

PLAIN: Final[dict[type, tuple[str, str]]] = {
    inspect.StrType: ("text", "str"),
    inspect.IntType: ("whole number", "int"),
    inspect.FloatType: ("number", "float"),
    inspect.BoolType: ("true or false", "bool"),
    inspect.BytesType: ("bytes", "bytes"),
    inspect.AnyType: ("anything", "object"),
    inspect.NoneType: ("nothing", "None"),
}


def in_words(kind: inspect.Type) -> str:
    """As "whole number, 0 to 1000" or "one of low, high"."""
    match kind:
        case inspect.Metadata():
            return in_words(kind.type)
        case inspect.UnionType():
            return " or ".join(in_words(each) for each in kind.types if not isinstance(each, inspect.NoneType))
        case inspect.LiteralType():
            return f"one of {', '.join(str(each) for each in kind.values if each != '')}"
        case inspect.EnumType():
            return f"one of {', '.join(_values(kind))}"
        case inspect.DictType():
            return f"object of {in_words(kind.value_type)}"
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            return f"list of {in_words(kind.item_type)}"
        case inspect.StructType():
            return kind.cls.__name__
        case inspect.IntType() | inspect.FloatType() if kind.ge is not None:
            upper = f"{kind.ge} to {kind.le}" if kind.le is not None else f"{kind.ge} or more"
            return f"{PLAIN[type(kind)][0]}, {upper}"
        case inspect.StrType() if kind.max_length is not None:
            return f"text, at most {kind.max_length} characters"
    return PLAIN.get(type(kind), (type(kind).__name__, ""))[0]


def in_python(kind: inspect.Type, name_of: Callable[[type], str]) -> str:
    """As an annotation; name_of gives a class a name that the module knows."""
    match kind:
        case inspect.Metadata():
            return in_python(kind.type, name_of)
        case inspect.UnionType():
            return " | ".join(in_python(each, name_of) for each in kind.types)
        case inspect.LiteralType():
            return f"Literal[{', '.join(map(repr, kind.values))}]"
        case inspect.EnumType() | inspect.StructType():
            return name_of(kind.cls)
        case inspect.DictType():
            return f"Mapping[{in_python(kind.key_type, name_of)}, {in_python(kind.value_type, name_of)}]"
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            return f"Sequence[{in_python(kind.item_type, name_of)}]"
    return PLAIN.get(type(kind), ("", "object"))[1]


def _values(kind: inspect.EnumType) -> list[str]:
    return [str(each.value) for each in kind.cls]
