"""Reads a slice's class into its contract, and refuses a wrong one. Used at build, at load and in tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Final, Protocol, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from runtime.names import NAME_LENGTH_MAX, is_name, is_version
from runtime.sdk.contract import DependencyContract, SliceContract
from runtime.sdk.errors import SliceInvalid
from runtime.sdk.marks import SliceMark, slice_mark, use
from runtime.sdk.services import service_name
from runtime.sdk.signature import MethodReading, read_method
from runtime.sdk.wiretypes import is_pydantic

_LIFE: Final = ("start", "stop")
CONCURRENCY_LIMIT: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyReading:
    """A constructor parameter that is injected, with the interface that the slice sees."""

    contract: DependencyContract
    interface: type


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReading:
    """A slice that keeps the rules: its class, its contract and its types."""

    cls: type
    contract: SliceContract
    methods: Mapping[str, MethodReading]
    dependencies: tuple[DependencyReading, ...]
    config: type | None  # the type of the constructor's `config` parameter
    file: str
    line: int


def read_slice(cls: type) -> SliceReading:
    """Raises SliceInvalid with file, line and remedy."""
    mark = slice_mark(cls)
    if mark is None:
        raise SliceInvalid(f"{cls.__qualname__} is not a slice", remedy="decorate it with @slice_(name=…, version=…)")
    _check_mark(cls, mark)
    methods = read_interface(cls)
    if not methods:
        raise _invalid(mark, f"{cls.__qualname__} has no public method", "write at least one `async def`")
    _check_routes(mark, methods)
    _check_life(cls)
    dependencies, config = _constructor(cls, mark)
    return SliceReading(
        cls=cls,
        methods=methods,
        dependencies=dependencies,
        config=config,
        file=mark.file,
        line=mark.line,
        contract=SliceContract(
            name=mark.name,
            version=mark.version,
            entry=f"{cls.__module__}:{cls.__qualname__}",
            summary=(inspect.getdoc(cls) or "").partition("\n")[0],
            methods=tuple(method.contract for method in methods.values()),
            dependencies=tuple(dependency.contract for dependency in dependencies),
            concurrency_max=mark.concurrency_max,
        ),
    )


def read_interface(cls: type) -> dict[str, MethodReading]:
    """The public methods of a slice's class or of a Protocol. Raises SliceInvalid."""
    methods = {}
    for name, member in _public(cls):
        if isinstance(member, property | staticmethod | classmethod) or not inspect.isfunction(member):
            if isinstance(member, property | staticmethod | classmethod):
                raise _member_invalid(cls, name, member)
            continue
        methods[name] = read_method(cls.__qualname__, name, member)
    return methods


def _public(cls: type) -> Iterator[tuple[str, object]]:
    seen = set(_LIFE)
    for base in cls.__mro__:
        if base in (object, Protocol) or base.__module__ == "typing":
            continue
        for name, member in vars(base).items():
            if not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, member


def _member_invalid(cls: type, name: str, member: object) -> SliceInvalid:
    function = getattr(member, "fget", None) or getattr(member, "__func__", None)
    code = getattr(function, "__code__", None)
    return SliceInvalid(
        f"{cls.__qualname__}.{name}: a {type(member).__name__} cannot be called from elsewhere",
        remedy="make it an `async def` method, or begin its name with _",
        file=code.co_filename if code else "",
        line=code.co_firstlineno if code else 0,
    )


def _check_mark(cls: type, mark: SliceMark) -> None:
    if not is_name(mark.name):
        raise _invalid(
            mark,
            f"{mark.name!r} cannot name a slice",
            f"use lower-case letters, digits and inner hyphens, at most {NAME_LENGTH_MAX}",
        )
    if not is_version(mark.version):
        raise _invalid(mark, f"{mark.version!r} is no version", "write it as 1.0.0")
    if not 0 < mark.concurrency_max <= CONCURRENCY_LIMIT:
        raise _invalid(mark, f"concurrency_max is {mark.concurrency_max}", f"choose 1 to {CONCURRENCY_LIMIT}")
    if "<locals>" in cls.__qualname__ and mark.file.endswith(".whl"):
        raise _invalid(mark, f"{cls.__qualname__} is local", "move the class to the top of its module")


def _check_routes(mark: SliceMark, methods: Mapping[str, MethodReading]) -> None:
    taken: dict[tuple[str, str], str] = {}
    for method in methods.values():
        for route in method.contract.routes:
            key = (route.method, route_shape(route.path))
            if key in taken:
                raise _invalid(
                    mark,
                    f"{route.method} {route.path} is bound by both {taken[key]} and {method.name}",
                    "give each method its own verb or path",
                )
            taken[key] = method.name


def route_shape(path: str) -> str:
    """The path with nameless parameters: two routes of one shape take the same requests."""
    return "/".join("{}" if segment.startswith("{") else segment for segment in path.split("/"))


def _check_life(cls: type) -> None:
    for name in _LIFE:
        function = getattr(cls, name, None)
        if function is None:
            continue
        code = getattr(function, "__code__", None)
        if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) != 1:
            raise SliceInvalid(
                f"{cls.__qualname__}.{name}: must be async and take nothing",
                remedy=f"write `async def {name}(self) -> None`",
                file=code.co_filename if code else "",
                line=code.co_firstlineno if code else 0,
            )


def _constructor(cls: type, mark: SliceMark) -> tuple[tuple[DependencyReading, ...], type | None]:
    if cls.__init__ is object.__init__:  # type: ignore[misc]  # asks whether the class has a constructor of its own
        return (), None
    function = cast("Callable[..., object]", cls.__init__)  # type: ignore[misc]  # read, never called
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, SyntaxError) as reason:
        raise _constructor_invalid(
            cls, f"has an annotation that cannot be resolved: {reason}", "import the type at the top of the module"
        ) from None
    found, config = [], None
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise _constructor_invalid(cls, f"takes *{parameter.name}", "name each dependency")
        if parameter.name not in hints:
            raise _constructor_invalid(
                cls, f"{parameter.name} has no type", "annotate it with a slice, a Protocol or an infra service"
            )
        annotation = hints[parameter.name]
        if parameter.name == "config":
            config = _config(cls, annotation)
            continue
        has_default = parameter.default is not inspect.Parameter.empty
        found.append(_dependency(cls, mark, parameter.name, annotation, has_default=has_default))
    return tuple(found), config


def _dependency(
    cls: type, mark: SliceMark, parameter: str, annotation: object, *, has_default: bool
) -> DependencyReading:
    named = ""
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        named = next((extra.name for extra in extras if isinstance(extra, use)), "")
    parts = get_args(annotation) if get_origin(annotation) in (Union, _UNION) else (annotation,)
    interfaces = [part for part in parts if part is not type(None)]
    interface = interfaces[0]
    if len(interfaces) != 1 or not isinstance(interface, type):
        raise _unknown(cls, parameter, annotation)
    required = len(parts) == len(interfaces) and not has_default
    service = service_name(interface)
    if service is not None:
        contract = DependencyContract(parameter=parameter, kind="service", name=service, required=required)
        return DependencyReading(contract=contract, interface=interface)
    other = slice_mark(interface)
    if other is None and not getattr(interface, "_is_protocol", False):
        raise _unknown(cls, parameter, annotation)
    name = named or (other.name if other else parameter.replace("_", "-"))
    if not is_name(name):
        raise _constructor_invalid(cls, f"{parameter}: {name!r} cannot name a slice", 'say which: use("name")')
    if name == mark.name:
        raise _constructor_invalid(cls, f"{parameter} is the slice itself: a dependency cycle", "call self instead")
    methods = tuple(read_interface(interface))
    contract = DependencyContract(parameter=parameter, kind="slice", name=name, required=required, methods=methods)
    return DependencyReading(contract=contract, interface=interface)


def _config(cls: type, annotation: object) -> type:
    if isinstance(annotation, type) and (
        issubclass(annotation, msgspec.Struct) or is_dataclass(annotation) or is_pydantic(annotation)
    ):
        return annotation
    raise _constructor_invalid(
        cls, "config is not a Struct or dataclass", "declare a frozen Struct with a member per setting, with defaults"
    )


def _unknown(cls: type, parameter: str, annotation: object) -> SliceInvalid:
    return _constructor_invalid(
        cls,
        f"{parameter}: {annotation!r} is an unknown dependency",
        "use a slice's class, a Protocol with its methods, or an infra service such as infra.cache.Cache",
    )


def _constructor_invalid(cls: type, problem: str, remedy: str) -> SliceInvalid:
    code = getattr(cls.__init__, "__code__", None)  # type: ignore[misc]  # read, never called
    return SliceInvalid(
        f"{cls.__qualname__}.__init__: {problem}",
        remedy=remedy,
        file=code.co_filename if code else "",
        line=code.co_firstlineno if code else 0,
    )


def _invalid(mark: SliceMark, problem: str, remedy: str) -> SliceInvalid:
    return SliceInvalid(problem, remedy=remedy, file=mark.file, line=mark.line)


_UNION: Final = type(int | str)
