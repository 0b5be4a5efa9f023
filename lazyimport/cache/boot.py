"""The boot of this machine, by which what was written since then is told from the rest.

A small file is not synchronized when it is written: a start would wait for the disk.
While the machine runs, everybody sees what was written. After a power cut a file may
have its name and lack its bytes, so what was written before the boot is proved before
it counts.
"""

from __future__ import annotations

_known: str | None = None


def name() -> str:
    """Return what names the current boot, hex digits; empty if the system has none."""
    global _known  # noqa: PLW0603 - no process outlives it
    if _known is None:
        try:
            with open("/proc/sys/kernel/random/boot_id", "rb") as file:
                _known = file.read().decode("ascii").strip().replace("-", "")
        except (OSError, ValueError):
            _known = ""
    return _known
