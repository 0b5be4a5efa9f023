"""Kinds of values that are typed: what the name after an option stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lazyimport.errors import SettingsError
from lazyimport.units import LONGEST, byte_count

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _count(text: str) -> int:
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is not a whole number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise click.BadParameter(f"{text!r} is not a number of seconds")
    return value


def _age(text: str) -> float:
    try:
        value = float(text[:-1]) * _UNITS[text[-1:]]
    except (ValueError, KeyError):
        value = -1.0
    if not 0 <= value < 1e12:
        raise click.BadParameter(f"{text!r} is not an age such as 12h, 30d or 8w")
    return value


def _age_or_never(text: str) -> int:
    seconds = 0 if text == "never" else int(_age(text)) or -1
    if not 0 <= seconds <= LONGEST:
        raise click.BadParameter(f"{text!r} is neither an age such as 30d nor never")
    return seconds


def _size(text: str) -> str:
    """Return *text* if it is a size such as ``20GiB``, or ``off``."""
    try:
        byte_count(text)
    except SettingsError:
        raise click.BadParameter(
            f"{text!r} is not a size such as 20GiB or 500MB, or off"
        ) from None
    return text


#: name in help -> what makes a value of the text; all others are text
KINDS: dict[str, Callable[[str], Any]] = {
    "AGE": _age,
    "AGE|never": _age_or_never,
    "N": _count,
    "SECONDS": _seconds,
    "SIZE": _size,
}
