"""Encoders and decoders for the types of slices: msgspec's own, and pydantic models where a slice brought them."""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from runtime.sdk.wiretypes import is_pydantic

T = TypeVar("T")


def encode_unknown(value: object) -> object:
    """msgspec's hook for values it does not know. Raises TypeError."""
    dump = getattr(value, "model_dump", None) if is_pydantic(type(value)) else None
    if dump is None:
        raise TypeError(f"{type(value).__qualname__} has no form on the wire")
    return cast(object, dump(mode="json"))  # pydantic returns plain data


def decode_unknown(kind: type[T], value: object) -> T:
    """msgspec's hook for types it does not know. A ValueError becomes a ValidationError with the member's path."""
    validate = getattr(kind, "model_validate", None) if is_pydantic(kind) else None
    if validate is None:
        raise TypeError(f"{kind.__qualname__} has no form on the wire")
    try:
        return cast(T, validate(value))  # pydantic returns an instance of the model
    except ValueError as error:
        raise ValueError(_first_line(error)) from None


def _first_line(error: ValueError) -> str:
    """Where and what, without the input: it may be confidential."""
    listed = getattr(error, "errors", None)
    if listed is None:
        return str(error)
    first = listed(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{first['msg']} - at {place}" if place else str(first["msg"])


MSGPACK: msgspec.msgpack.Encoder = msgspec.msgpack.Encoder(enc_hook=encode_unknown)
JSON: msgspec.json.Encoder = msgspec.json.Encoder(enc_hook=encode_unknown)


def msgpack_decoder(annotation: object) -> msgspec.msgpack.Decoder[object]:
    kind = cast("type[object]", annotation)  # an annotation such as `int | None` is no class, but msgspec takes it
    return msgspec.msgpack.Decoder(kind, dec_hook=decode_unknown)


def json_decoder(annotation: object) -> msgspec.json.Decoder[object]:
    kind = cast("type[object]", annotation)  # as above
    return msgspec.json.Decoder(kind, dec_hook=decode_unknown)


def convert_text(value: str | list[str], annotation: object) -> object:
    """Text of a path, query or header as its type: "3" as int. Raises msgspec.ValidationError."""
    kind = cast("type[object]", annotation)  # as above
    return msgspec.convert(value, kind, strict=False, dec_hook=decode_unknown)
