"""Nodes of a YAML text, as ruamel.yaml composes them: what they hold, by key.

A node says where it stands in its text, which the value alone would not. Those of
scalars hold a string, those of mappings pairs of nodes, those of sequences nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from math import inf
from typing import Any, TypeAlias

Node: TypeAlias = Any


def is_mapping(node: Node) -> bool:
    """Whether *node* is a mapping."""
    return str(node.tag) == "tag:yaml.org,2002:map"


def is_null(node: Node) -> bool:
    """Whether *node* has no value, be it written out (``null``, ``~``) or left out."""
    return str(node.tag) == "tag:yaml.org,2002:null"


def pairs(mapping: Node | None) -> Sequence[tuple[Node, Node]]:
    """Return the nodes of keys and values; none if *mapping* is anything else."""
    if mapping is None or not is_mapping(mapping):
        return ()
    found: list[tuple[Node, Node]] = mapping.value
    return found


def find(node: Node | None, *keys: str) -> Node | None:
    """Return the value at nested *keys*, or None."""
    for name in keys:
        node = next((value for key, value in pairs(node) if key.value == name), None)
    return node


def sequence(node: Node | None) -> Sequence[Node]:
    """Return the items of a sequence; none if *node* is anything else."""
    if node is None or isinstance(node.value, str) or is_mapping(node):
        return ()
    found: list[Node] = node.value
    return found


def text_of(node: Node | None) -> str | None:
    """Return the text of a scalar; None for null and for anything else."""
    if node is None or is_null(node) or not isinstance(node.value, str):
        return None
    text: str = node.value
    if text.isascii():
        return text
    # JSON writes a character beyond U+FFFF as two escapes, which YAML does not join.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def walk(root: Node) -> Iterator[Node]:
    """Yield *root* and all nodes under it, each once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting.extend(_children(node))


def shared(roots: Sequence[Node]) -> set[int]:
    """Return the ids of the nodes that are reached in more than one way."""
    reached = Counter(
        id(child) for root in roots for node in walk(root) for child in _children(node)
    )
    return {node for node, count in reached.items() if count > 1}


def size(root: Node, known: dict[int, float]) -> float:
    """Return how many nodes there are from *root* on if each alias is written out.

    Infinitely many, if it is in itself, or deeper than anybody writes. *known* maps
    the ids of nodes to that.
    """
    if id(root) not in known:
        known[id(root)] = inf  # as long as it is being counted
        try:
            children = _children(root)
            known[id(root)] = 1 + sum(size(child, known) for child in children)
        except RecursionError:
            return inf
    return known[id(root)]


def meaning(
    node: Node, skipped: Container[int] = (), inner: Mapping[int, list[Node]] = {}
) -> object:
    """Return a value that is equal for nodes that mean the same.

    Null, empty, and nodes whose id is in *skipped* count as absent. *inner* maps
    the id of a scalar that is itself YAML to the documents in it.
    """
    if id(node) in skipped:
        return None
    if id(node) in inner:
        documents = [meaning(root, skipped, inner) for root in inner[id(node)]]
        return [document for document in documents if document is not None] or None
    if isinstance(node.value, str):
        return None if is_null(node) else (str(node.tag), node.value)
    if is_mapping(node):
        pairs = [(meaning(k), meaning(v, skipped, inner)) for k, v in node.value]
        return [pair for pair in pairs if pair[1] is not None] or None
    return [meaning(item, skipped, inner) for item in node.value] or None


def _children(node: Node) -> list[Node]:
    if isinstance(node.value, str):
        return []
    if is_mapping(node):
        return [child for pair in node.value for child in pair]
    return list(node.value)
