"""A tree ensemble in an ONNX file, read without an ONNX package. The fields, as onnx.proto numbers them:

ModelProto.graph (7), metadata_props (14: key 1, value 2); GraphProto.node (1), initializer (5); NodeProto.op_type (4),
attribute (5); AttributeProto.name (1), floats (7), ints (8), strings (9); TensorProto.name (8), raw_data (9).
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import Final

from controllers.scaling.ensemble import Leaf, Split, TreeEnsemble
from runtime.protobuf import fields, parts, text, varints

GRAPH, PROPERTY = 7, 14
NODE, INITIALIZER = 1, 5
OPERATOR, ATTRIBUTE = 4, 5
TENSOR_NAME, TENSOR_RAW = 8, 9
NAME, FLOATS, INTS, STRINGS = 1, 7, 8, 9
REGRESSOR: Final = "TreeEnsembleRegressor"
STEPS: Final = (REGRESSOR, "Clip", "Exp", "Reshape")
"""Of the graph, as boosting.as_onnx makes it: the logarithm, bounded, and from it the multiple."""
HIGHEST: Final = "top"
BRANCH, LEAF = b"BRANCH_LEQ", b"LEAF"
DEPTH_MAX: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleFile:
    said: dict[str, str]
    """The file's metadata."""
    steps: tuple[str, ...]
    attributes: dict[str, Attribute]
    """Of the trees."""
    constants: dict[str, bytes]
    """What is kept in the graph by name, as it lies there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    floats: array[float]
    ints: array[int]
    strings: tuple[bytes, ...]


def read_file(raw: bytes) -> EnsembleFile:
    """Raises IndexError, ValueError, struct.error for what is none."""
    model = memoryview(raw)
    said = {text(each, 1): text(each, 2) for each in parts(model, PROPERTY)}
    nodes = [node for graph in parts(model, GRAPH) for node in parts(graph, NODE)]
    trees = [node for node in nodes if text(node, OPERATOR) == REGRESSOR]
    found = {text(each, NAME): _attribute(each) for node in trees for each in parts(node, ATTRIBUTE)}
    return EnsembleFile(
        said=said,
        steps=tuple(text(node, OPERATOR) for node in nodes),
        attributes=found,
        constants={
            text(each, TENSOR_NAME): b"".join(map(bytes, parts(each, TENSOR_RAW)))
            for graph in parts(model, GRAPH)
            for each in parts(graph, INITIALIZER)
        },
    )


def highest_of(file: EnsembleFile) -> float:
    """The bound of what the trees say. Raises KeyError, struct.error."""
    (found,) = struct.unpack("<f", file.constants[HIGHEST])
    return float(found)


def ensemble_of(file: EnsembleFile, features: int) -> TreeEnsemble:
    """Raises KeyError, IndexError, ValueError for arrays that are no trees."""
    if file.steps != STEPS:
        raise ValueError(f"its steps are {', '.join(file.steps)}; wanted are {', '.join(STEPS)}")
    made = _Arrays(file.attributes, features)
    return TreeEnsemble(made.trees(), base=file.attributes["base_values"].floats[0], features=features)


class _Arrays:
    """The operator's arrays: nodes of all trees end to end, each tree's in the order of their numbers from 0 on."""

    def __init__(self, given: dict[str, Attribute], features: int) -> None:
        trees, nodes = given["nodes_treeids"].ints, given["nodes_nodeids"].ints
        self._feature, self._threshold = given["nodes_featureids"].ints, given["nodes_values"].floats
        self._mode = given["nodes_modes"].strings
        self._true, self._false = given["nodes_truenodeids"].ints, given["nodes_falsenodeids"].ints
        self._features = features
        columns = (nodes, self._feature, self._threshold, self._mode, self._true, self._false)
        if any(len(each) != len(trees) for each in columns):
            raise ValueError("its arrays are not equally long")
        self._roots = {tree: at for at, (tree, node) in enumerate(zip(trees, nodes, strict=True)) if node == 0}
        if any(at != self._roots[tree] + node for at, (tree, node) in enumerate(zip(trees, nodes, strict=True))):
            raise ValueError("its nodes are not in order")
        places = zip(given["target_treeids"].ints, given["target_nodeids"].ints, strict=True)
        weights = given["target_weights"].floats
        self._weights = {self._roots[tree] + node: weights[at] for at, (tree, node) in enumerate(places)}

    def trees(self) -> list[Split | Leaf]:
        return [self._made(root, root, 0) for root in self._roots.values()]

    def _made(self, root: int, at: int, depth: int) -> Split | Leaf:
        if depth > DEPTH_MAX:
            raise ValueError(f"a tree is deeper than {DEPTH_MAX}")
        if self._mode[at] == LEAF:
            return Leaf(self._weights[at])
        if self._mode[at] != BRANCH or not 0 <= self._feature[at] < self._features:
            raise ValueError(f"a tree asks {self._mode[at]!r} of feature {self._feature[at]}")
        left, right = (self._made(root, root + each[at], depth + 1) for each in (self._true, self._false))
        return Split(self._feature[at], self._threshold[at], left, right)


def _attribute(message: memoryview) -> Attribute:
    floats, ints, strings = array("f"), array("q"), []
    once: dict[bytes, bytes] = {}  # there are two words, thousands of times
    for number, value in fields(message):
        if number == INTS:
            ints.extend(varints(value))
        elif number == FLOATS and isinstance(value, memoryview):
            floats.extend(struct.unpack(f"<{len(value) // 4}f", value))
        elif number == STRINGS and isinstance(value, memoryview):
            word = bytes(value)
            strings.append(once.setdefault(word, word))
    return Attribute(floats=floats, ints=ints, strings=tuple(strings))
