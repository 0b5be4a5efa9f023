"""YAML as text: where its values stand, and edits that touch nothing else.

A manifest is edited where a person keeps it, with comments and in their order.
So nothing is dumped: the parser says where a value stands, and the text there
is replaced. `YamlText` is such a text: a file, or YAML inside a string of one.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import NamedTuple

from lazyimport.deploy.errors import DeployError, ManifestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence
    from typing import Any, TypeAlias

    #: nodes of ruamel.yaml, told apart by what they hold
    Node: TypeAlias = Any

__all__ = [
    "Edit",
    "YamlText",
    "entry",
    "find",
    "is_mapping",
    "is_null",
    "items",
    "plain",
    "text_of",
    "walk",
]

_INDENT = "  "


class Edit(NamedTuple):
    """Replace text[start:end] by *text*."""

    start: int
    end: int
    text: str

    def apply(self, text: str) -> str:
        """Return *text* after this edit."""
        return text[: self.start] + self.text + text[self.end :]


class YamlText:
    """A YAML text and its documents.

    ``documents`` are the root nodes. With *outer* and *scalar* it is the text of
    that string in *outer*; without, the file's. Raises ManifestError for what is
    not YAML.
    """

    def __init__(
        self,
        text: str,
        path: str,
        outer: YamlText | None = None,
        scalar: Node | None = None,
    ) -> None:
        self.text = text
        self.path = path
        self._outer = outer
        self.scalar = scalar
        self.documents = self._compose()
        self._shared = _shared(self.documents)

    def inside(self, scalar: Node) -> YamlText:
        """Return the YAML that is the value of *scalar*, a string of this text."""
        if scalar.style == ">":
            raise self.error(
                scalar,
                "a folded string (>) loses the line breaks of the YAML inside; "
                "write it as a literal one (|)",
            )
        return YamlText(scalar.value, self.path, self, scalar)

    def line(self, node: Node) -> int:
        """Return the line of the file where *node* begins, counted from 1."""
        return self._file_line(int(node.start_mark.line))

    def error(self, node: Node, text: str) -> ManifestError:
        """Return the error that says *text* about *node*."""
        return self._error(self.line(node), text)

    def is_shared(self, node: Node) -> bool:
        """Whether *node* is an anchor that an alias stands for elsewhere."""
        return id(node) in self._shared

    def replace(self, node: Node, value: str) -> Edit:
        """Return the edit of the file that gives a scalar another value.

        Quotes stay as they are.
        """
        quote = node.style if node.style in ("'", '"') else ""
        start, end = node.start_mark.index, node.end_mark.index
        if node.style in ("|", ">"):
            raise self.error(node, "expected a value on one line")
        quote = quote or _needed_quote(value)
        return self.to_file(Edit(start, end, f"{quote}{value}{quote}"))

    def insert(
        self, mapping: Node, keys: Sequence[str], value: str, after: str = ""
    ) -> Edit:
        """Return the edit of the file that puts *value* under new nested *keys*.

        It comes after the key *after* of *mapping* if that has a value on one
        line, else after the last key that has one, else first.
        """
        if mapping.flow_style:
            return self.to_file(self._insert_flow(mapping, keys, value))
        column = _column(mapping)
        lines = [
            f"{' ' * column}{_INDENT * depth}{key}:" for depth, key in enumerate(keys)
        ]
        lines[-1] += f" {_needed_quote(value)}{value}{_needed_quote(value)}"
        return self.to_file(self._insert_lines(mapping, lines, after))

    def insert_text(
        self, mapping: Node, key: str, lines: Sequence[str], after: str = ""
    ) -> Edit:
        """Return the edit of the file that adds *key* with a text of *lines*."""
        if mapping.flow_style:
            value = json.dumps("".join(f"{line}\n" for line in lines))
            return self.to_file(self._flow(mapping, f"{json.dumps(key)}: {value}"))
        pad = " " * _column(mapping)
        block = [f"{pad}{key}: |", *(f"{pad}{_INDENT}{line}" for line in lines)]
        return self.to_file(self._insert_lines(mapping, block, after))

    def fill(self, node: Node, keys: Sequence[str], value: str) -> Edit:
        """Return the edit of the file that replaces an empty value (null)."""
        text = json.dumps(value)
        for key in reversed(keys):
            text = f"{{{json.dumps(key)}: {text}}}"
        if node.start_mark.index < node.end_mark.index:  # written out: null or ~
            return self.to_file(Edit(node.start_mark.index, node.end_mark.index, text))
        # Nothing is there: the mark is where the next token is, after the colon.
        colon = self.text.rindex(":", 0, node.start_mark.index)
        return self.to_file(Edit(colon + 1, colon + 1, f" {text}"))

    def values(self) -> list[object]:
        """Return the documents as values, as PyYAML (and so Ray) reads them."""
        parser = _parser()
        parser.version = (1, 1)
        return [value for value in parser.load_all(self.text) if value is not None]

    def _compose(self) -> list[Node]:
        parser = _parser()
        from ruamel.yaml.error import YAMLError

        try:
            return [node for node in parser.compose_all(self.text) if node is not None]
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            line = self._file_line(mark.line if mark is not None else 0)
            raise self._error(
                line,
                f"not YAML: {problem}; a template must be rendered before its hash "
                "can be set",
            ) from error

    def _error(self, line: int, text: str) -> ManifestError:
        return ManifestError(f"{self.path}:{line}: {text}", path=self.path, line=line)

    def _file_line(self, line: int) -> int:
        if self._outer is None:
            return line + 1
        assert self.scalar is not None
        own = self._outer.line(self.scalar)
        return own + 1 + line if self.scalar.style == "|" else own

    def _insert_lines(self, mapping: Node, lines: Sequence[str], after: str) -> Edit:
        one_line = [
            (key, value)
            for key, value in mapping.value
            if key.start_mark.line == value.end_mark.line and _ends_here(value)
        ]
        chosen = [pair for pair in one_line if after and pair[0].value == after]
        for _, value in chosen or one_line[-1:]:
            end = self.text.find("\n", value.end_mark.index)
            end = len(self.text) if end < 0 else end
            if self.text[end - 1 : end] == "\r":
                end -= 1
            return Edit(end, end, "".join(f"\n{line}" for line in lines))
        start = mapping.value[0][0].start_mark.index
        pad = " " * _column(mapping)
        return Edit(start, start, "\n".join(lines)[len(pad) :] + f"\n{pad}")

    def _insert_flow(self, mapping: Node, keys: Sequence[str], value: str) -> Edit:
        text = json.dumps(value)
        for key in reversed(keys[1:]):
            text = f"{{{json.dumps(key)}: {text}}}"
        return self._flow(mapping, f"{json.dumps(keys[0])}: {text}")

    def _flow(self, mapping: Node, text: str) -> Edit:
        start = mapping.start_mark.index
        start = self.text.index("{", start) + 1  # after a tag or an anchor
        if mapping.value:
            text += "," if self.text[start].isspace() else ", "
        return Edit(start, start, text)

    def to_file(self, edit: Edit) -> Edit:
        """Return *edit*, of this text, as an edit of the file."""
        if self._outer is None:
            newline = "\r\n" if "\r\n" in self.text else "\n"
            return edit._replace(text=edit.text.replace("\n", newline))
        node, outer = self.scalar, self._outer
        assert node is not None
        start, end = node.start_mark.index, node.end_mark.index
        if node.style != "|":
            return outer.to_file(Edit(start, end, json.dumps(edit.apply(self.text))))
        starts = list(_line_starts(outer.text, start))
        indent = self._indent(starts)

        def place(index: int) -> int:
            line = self.text.count("\n", 0, index)
            column = index - (self.text.rfind("\n", 0, index) + 1)
            return starts[line + 1] + indent + column

        text = edit.text.replace("\n", "\n" + " " * indent)
        return outer.to_file(Edit(place(edit.start), place(edit.end), text))

    def _indent(self, starts: list[int]) -> int:
        """Return how far the lines of a literal string are indented in the file."""
        assert self._outer is not None
        for number, line in enumerate(self.text.split("\n")):
            if line.strip():
                begin = starts[number + 1]
                return self._outer.text.index(line, begin) - begin
        return 0


def _parser() -> Any:
    try:
        from ruamel.yaml import YAML
    except ModuleNotFoundError as error:
        raise DeployError(
            "manifests are read with ruamel.yaml, which is not installed here: "
            "pip install 'ray-lazyimport[deploy]'"
        ) from error
    return YAML(typ="safe", pure=True)


def items(mapping: Node) -> Iterator[tuple[str, Node, Node]]:
    """Yield (key, key's node, value's node) of a mapping; of anything else, nothing."""
    if mapping is not None and is_mapping(mapping):
        for key, value in mapping.value:
            if isinstance(key.value, str):
                yield key.value, key, value


def entry(mapping: Node, name: str) -> Node | None:
    """Return the value of a key, or None."""
    return next((value for key, _, value in items(mapping) if key == name), None)


def find(node: Node | None, *names: str) -> Node | None:
    """Return the value at nested keys, or None."""
    for name in names:
        node = entry(node, name)
    return node


def text_of(node: Node | None) -> str | None:
    """Return the text of a scalar, or None; null has none."""
    if node is None or is_null(node) or not isinstance(node.value, str):
        return None
    return node.value


def plain(
    node: Node, skipped: Container[int] = (), inner: Mapping[int, list[Node]] = {}
) -> object:
    """Return a value that is equal for nodes that mean the same.

    What is null, empty, or has its id in *skipped* counts as absent. *inner* has
    the documents that stand in a string, by the id of that scalar.
    """
    if id(node) in skipped:
        return None
    if id(node) in inner:
        documents = [plain(root, skipped, inner) for root in inner[id(node)]]
        return [document for document in documents if document is not None] or None
    if isinstance(node.value, str):
        return None if is_null(node) else (str(node.tag), node.value)
    if is_mapping(node):
        pairs = [(plain(k), plain(v, skipped, inner)) for k, v in node.value]
        return [pair for pair in pairs if pair[1] is not None] or None
    return [plain(item, skipped, inner) for item in node.value] or None


def walk(root: Node) -> Iterator[Node]:
    """Yield *root* and all nodes under it, each once."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            todo.extend(_children(node))


def is_mapping(node: Node) -> bool:
    """Whether *node* is a mapping."""
    return str(node.tag) == "tag:yaml.org,2002:map"


def is_null(node: Node) -> bool:
    """Whether *node* is no value, written out or not."""
    return str(node.tag) == "tag:yaml.org,2002:null"


def _column(mapping: Node) -> int:
    """Return where the keys of a block mapping stand; an anchor stands before it."""
    return int(mapping.value[0][0].start_mark.column)


def _ends_here(value: Node) -> bool:
    """Whether the parser says exactly where *value* ends."""
    if isinstance(value.value, str):
        return value.style not in ("|", ">") and value.value != ""
    return bool(value.flow_style)


def _needed_quote(value: str) -> str:
    """Return the quote that keeps digits a string (1e5 is a number, to some)."""
    return '"' if value.replace("e", "", 1).isdecimal() else ""


def _line_starts(text: str, index: int) -> Iterator[int]:
    """Yield where the line that holds *index* begins, and every later one."""
    start = text.rfind("\n", 0, index) + 1
    while True:
        yield start
        start = text.find("\n", start) + 1
        if not start:
            return


def _shared(roots: Sequence[Node]) -> set[int]:
    """Return the ids of the nodes that are reached in more than one way."""
    return {
        child
        for root in roots
        for child, count in Counter(
            id(child) for node in walk(root) for child in _children(node)
        ).items()
        if count > 1
    }


def _children(node: Node) -> list[Node]:
    if isinstance(node.value, str):
        return []
    if is_mapping(node):
        return [child for pair in node.value for child in pair]
    return list(node.value)
