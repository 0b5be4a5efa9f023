"""Profiles as a recorder writes them, from the starts that they should give."""

from __future__ import annotations

import json
from collections.abc import Iterable

from lazyimport.format.profile import VERSION, Start


def encode(starts: Iterable[Start]) -> bytes:
    """Return the bytes of a profile."""
    lines: list[object] = []
    for start in starts:
        lines.append({"lazyimport_profile": VERSION, "hash": start.hash})
        lines += [{"read": read.kind, **read._asdict()} for read in start.reads]
        lines += [{"module": each.name, **each._asdict()} for each in start.modules]
        lines += [{"looked": path, "by": by} for path, by in start.looked.items()]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()
