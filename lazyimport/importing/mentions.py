"""Mentions: paths that stand somewhere in the arguments of a function."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


def mentioned(values: Iterable[Any], roots: Iterable[str]) -> Iterator[str]:
    """Yield the paths below one of *roots* that stand in texts among *values*.

    Also in the middle of a text (``--file=/root/a``, ``file:/root/b?mode=ro``), and in
    lists, tuples and the values of mappings. A path ends where a shell would end it.
    """
    spelled = "|".join(re.escape(root) for root in roots)
    pattern = re.compile(rf"(?:{spelled})(?![\w.-])[^\s\0\"':;,]*")
    for text in _texts(values):
        yield from pattern.findall(text)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _texts(value)
        elif hasattr(value, "values"):
            yield from _texts(value.values())
        else:
            try:
                yield os.fsdecode(value)
            except TypeError:
                pass  # a number, a file, a function, nothing
