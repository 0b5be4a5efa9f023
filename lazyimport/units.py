"""Sizes and times, as people and files write them."""

from __future__ import annotations

from time import gmtime, strftime

from lazyimport.lazy import errors

#: The first second of the year 1000, and the last of 9999.
_FIRST, _LAST = -30610224000, 253402300799
#: Seconds for which a change of a channel may count at most.
LONGEST = 10**9


def byte_count(text: str) -> int | None:
    """Return the bytes of a size such as ``500MB`` or ``20GiB``; None for ``off``.

    ``k``, ``M``, ``G`` and ``T`` count thousands, ``Ki`` and so on 1024; a ``B``
    may follow. Raises SettingsError for anything else.
    """
    size = text.strip().lower()
    if size == "off":
        return None
    number = size.removesuffix("b")
    base = 1024 if number.endswith("i") else 1000
    number = number.removesuffix("i")
    power = " kmgt".find(number[-1:] or " ")
    if power > 0:
        number = number[:-1]
    elif base == 1024:
        number = ""
    try:
        count = float(number)
    except ValueError:
        count = -1.0
    if not 0 <= count < 1e18:
        raise errors.SettingsError(
            f"not the size of a cache: {text!r} (write a size such as 20GiB or 500MB, "
            "or off; set LAZYIMPORT_CACHE_LIMIT or pass cache_limit=)",
            name="cache_limit",
            value=text,
        )
    return int(count * base ** max(power, 0))


def utc(seconds: float) -> str:
    """Return a time since the epoch as all are written: ISO 8601 in UTC, in seconds.

    A time before the year 1000 or after 9999 becomes the nearest one in between.
    """
    seconds = min(max(seconds, _FIRST), _LAST)
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))
