"""YAML as text: where its values stand, and edits that touch nothing else.

People keep manifests with comments and in an order of their own. So nothing is
dumped: the parser says where a value stands, and the text there is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from lazyimport.deploy.errors import DeployError, ManifestError
from lazyimport.deploy.nodes import (
    Node,
    find,
    is_mapping,
    is_null,
    shared,
    size,
    text_of,
)

_INDENT = "  "
#: Values of a text whose aliases are written out, as those who read it do.
_MOST = 1_000_000
#: the mark of a document's begin, with nothing but comments before it
_BEGIN = re.compile(r"\A((?:[ \t]*(?:#.*)?\r?\n)*[ \t]*)---(?=\s)")


class Edit(NamedTuple):
    """Replace text[start:end] by *text*."""

    start: int
    end: int
    text: str

    def apply(self, text: str) -> str:
        """Return *text* after this edit."""
        return text[: self.start] + self.text + text[self.end :]


class YamlText:
    """The YAML *text* of the file *path*.

    ``documents`` are the root nodes of its documents. For YAML inside a string,
    ``scalar`` is that string and ``file`` the text around it. Raises ManifestError
    for what is not YAML, DeployError without ruamel.yaml.
    """

    file: YamlText | None = None
    scalar: Node | None = None

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.documents = self._compose()
        self._shared = shared(self.documents)

    def inside(self, scalar: Node) -> YamlText:
        """Return the YAML that *scalar*, a string of this file, holds."""
        if scalar.style == ">":
            raise self.error(
                scalar,
                "a folded string (>) loses the line breaks of the YAML inside; "
                "write it as a literal one (|)",
            )
        return (_Literal if scalar.style == "|" else _Quoted)(self, scalar)

    def line(self, node: Node) -> int:
        """Return the line of the file where *node* begins, counted from 1."""
        return self._line(int(node.start_mark.line))

    def error(self, node: Node, text: str) -> ManifestError:
        """Return the error that says *text* about *node*."""
        return self._error(int(node.start_mark.line), text)

    def is_shared(self, node: Node) -> bool:
        """Whether *node* is an anchor that an alias stands for elsewhere."""
        return id(node) in self._shared

    def values(self) -> list[object]:
        """Return the documents as values, as PyYAML (and so Ray) reads them."""
        parser = _parser()
        parser.version = (1, 1)
        return self._read(parser.load_all)

    def put(self, root: Node, path: Sequence[str], value: str, after: str) -> Edit:
        """Return the edit of the file that puts *value* at the keys *path* of *root*.

        The scalar there is replaced, its quotes stay. Missing keys are added after
        the key *after* if that has a value on one line, else after the last key
        that has one, else first. Raises ManifestError if that cannot be done.
        """
        owner = root
        for depth, key in enumerate(path):
            if not is_mapping(owner) or not (owner.value or owner.flow_style):
                where = ".".join(path[:depth]) or "this"
                raise self.error(owner, f"{where} must be a mapping")
            node = find(owner, key)
            if node is None:
                if find(owner, "<<") is not None and key != path[-1]:
                    raise self.error(
                        owner,
                        f"{key} may come from what is merged here (<<), and another "
                        "one would replace it as a whole; write it out",
                    )
                return self._in_file(self._add(owner, path[depth:], value, after))
            if is_null(node):
                return self._in_file(self._fill(node, path[depth + 1 :], value))
            owner = node
        if text_of(owner) is None:
            raise self.error(owner, f"{'.'.join(path)} must be a string")
        if owner.style in ("|", ">"):
            raise self.error(owner, "expected a value on one line")
        quote = owner.style or _quote_for(value)
        start, end = owner.start_mark.index, owner.end_mark.index
        return self._in_file(Edit(start, end, f"{quote}{value}{quote}"))

    def _compose(self) -> list[Node]:
        documents = self._read(_parser().compose_all)
        known: dict[int, float] = {}
        if sum(size(root, known) for root in documents) > _MOST:
            raise self._error(
                0, f"with its aliases written out it has more than {_MOST:,} values"
            )
        return documents

    def _read(self, read: Callable[[str], Iterable[Any]]) -> list[Any]:
        from ruamel.yaml.error import YAMLError

        try:
            return [one for one in read(self.text) if one is not None]
        # a day that no month has, say
        except (YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise self._error(
                mark.line if mark is not None else 0,
                f"not YAML: {problem}; a template must be rendered before its hash "
                "can be set",
            ) from error

    def _error(self, line: int, text: str) -> ManifestError:
        line = self._line(line)
        return ManifestError(f"{self.path}:{line}: {text}", path=self.path, line=line)

    def _line(self, line: int) -> int:
        """Return the line of the file, from 1, that *line* of this text is, from 0."""
        return line + 1

    def _in_file(self, edit: Edit) -> Edit:
        newline = "\r\n" if "\r\n" in self.text else "\n"
        return edit._replace(text=edit.text.replace("\n", newline))

    def _add(self, mapping: Node, keys: Sequence[str], value: str, after: str) -> Edit:
        if mapping.flow_style:
            return self._add_in_braces(mapping, keys, value)
        # An anchor stands before the first key, so the mapping's own mark is not it.
        pad = " " * int(mapping.value[0][0].start_mark.column)
        lines = [f"{pad}{_INDENT * depth}{key}:" for depth, key in enumerate(keys)]
        if "\n" in value:
            pad += _INDENT * len(keys)
            lines[-1] += " |"
            lines += [f"{pad}{line}" for line in value.splitlines()]
        else:
            quote = _quote_for(value)
            lines[-1] += f" {quote}{value}{quote}"
        return self._add_lines(mapping, lines, after)

    def _add_lines(self, mapping: Node, lines: Sequence[str], after: str) -> Edit:
        one_line = [
            (key.value, value)
            for key, value in mapping.value
            if key.start_mark.line == value.end_mark.line and _ends_where_marked(value)
        ]
        chosen = [pair for pair in one_line if pair[0] == after]
        if one_line:
            _, value = (chosen or one_line)[-1]
            end = self.text.find("\n", value.end_mark.index)
            end = len(self.text) if end < 0 else end
            end -= self.text[end - 1 : end] == "\r"
            return Edit(end, end, "".join(f"\n{line}" for line in lines))
        first = mapping.value[0][0].start_mark
        pad = " " * int(first.column)
        text = "\n".join(lines).removeprefix(pad)
        return Edit(first.index, first.index, f"{text}\n{pad}")

    def _add_in_braces(self, mapping: Node, keys: Sequence[str], value: str) -> Edit:
        text = f"{json.dumps(keys[0])}: {_in_braces(keys[1:], value)}"
        # After a tag or an anchor.
        start = self.text.index("{", mapping.start_mark.index) + 1
        if mapping.value:
            text += "," if self.text[start].isspace() else ", "
        return Edit(start, start, text)

    def _fill(self, node: Node, keys: Sequence[str], value: str) -> Edit:
        text = _in_braces(keys, value)
        start, end = node.start_mark.index, node.end_mark.index
        if start < end:  # written out: null or ~
            return Edit(start, end, text)
        # Nothing is there: the mark is where the next token is, after the colon.
        colon = self.text.rindex(":", 0, start) + 1
        return Edit(colon, colon, f" {text}")


class _Literal(YamlText):
    """YAML in a literal string (``|``): its lines are lines of the file."""

    def __init__(self, file: YamlText, scalar: Node) -> None:
        begin, end = scalar.start_mark.index, scalar.end_mark.index
        self.file: YamlText = file
        self.scalar = scalar
        self._start = min(file.text.find("\n", begin, end) + 1 or end, end)
        # Such a mark counts at the begin of a line only, and these are indented.
        text = _BEGIN.sub(r"\1   ", file.text[self._start : end])
        super().__init__(text, file.path)

    def _line(self, line: int) -> int:
        return self.file.line(self.scalar) + 1 + line

    def _in_file(self, edit: Edit) -> Edit:
        start, end = self._start + edit.start, self._start + edit.end
        return self.file._in_file(Edit(start, end, edit.text))  # noqa: SLF001


class _Quoted(YamlText):
    """YAML in any other string, which an edit replaces as a whole."""

    def __init__(self, file: YamlText, scalar: Node) -> None:
        self.file: YamlText = file
        self.scalar = scalar
        super().__init__(scalar.value, file.path)

    def _line(self, line: int) -> int:  # noqa: ARG002 - it is one line of the file
        return self.file.line(self.scalar)

    def _in_file(self, edit: Edit) -> Edit:
        assert self.scalar is not None
        text = json.dumps(super()._in_file(edit).apply(self.text))
        return Edit(self.scalar.start_mark.index, self.scalar.end_mark.index, text)


def _parser() -> Any:
    try:
        from ruamel.yaml import YAML
    except ModuleNotFoundError as error:
        raise DeployError(
            "manifests are read with ruamel.yaml, which is not installed here; "
            "run: pip install ruamel.yaml"
        ) from error
    return YAML(typ="safe", pure=True)


def _in_braces(keys: Sequence[str], value: str) -> str:
    """Return *value* under nested *keys*, as text on one line."""
    text = json.dumps(value)
    for key in reversed(keys):
        text = f"{{{json.dumps(key)}: {text}}}"
    return text


def _ends_where_marked(value: Node) -> bool:
    """Whether the parser marks the very end of *value*."""
    if isinstance(value.value, str):
        return value.style not in ("|", ">") and value.value != ""
    return bool(value.flow_style)


def _quote_for(value: str) -> str:
    """Return the quote that keeps digits a string (1e5 is a number, to some)."""
    return '"' if value.replace("e", "", 1).isdecimal() else ""
