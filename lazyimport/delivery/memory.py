"""Memory: how much of it a process may take for an archive that finds no disk."""

from __future__ import annotations

from errno import ENOMEM

from lazyimport.errors import CacheError

#: A container's limit, use and statistics, in version 2 and 1 of control groups.
_GROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
    ),
)
_FOLDER = "/sys/fs/cgroup"
#: What each process of a node may take because the disk does not work: the others
#: will, too.
_SHARE = 4


def require_memory(hash: str, size: int, cache: str, *, because: object = None) -> None:
    """Raise CacheError if *size* bytes for the archive *hash* are too many.

    All that is free may be taken for what is to run from memory; a quarter of it
    *because* the disk of the *cache* takes nothing.
    """
    free = available()
    if free is None or size <= (free // _SHARE if because else free):
        return
    many = f"archive {hash} needs {size} bytes of memory"
    text = f"{many}, and {free} are free; set LAZYIMPORT_CACHE_MODE to raw or zstd"
    if because:
        text = (
            f"{because}; and {many}, more than a quarter of the {free} that are free, "
            "so it does not run from there either"
        )
    raise CacheError(text, path=cache, errno=ENOMEM)


def available() -> int | None:
    """Return the bytes of memory that are free for this process; None if unknown."""
    found = []
    try:
        found.append(_counts("/proc/meminfo")[b"MemAvailable:"] << 10)
    except (OSError, ValueError, LookupError):
        pass
    for names in _GROUPS:
        limit, use, counts = (f"{_FOLDER}/{name}" for name in names)
        try:
            # What was read from files counts as used there, and gives way.
            stat = _counts(counts)
            files = stat[b"inactive_file"] + stat[b"active_file"]
            with open(limit, "rb") as most, open(use, "rb") as used:
                found.append(max(int(most.read()) - int(used.read()) + files, 0))
        except (OSError, ValueError, LookupError):
            pass  # no such group, or one without a limit
    return min(found, default=None)


def _counts(path: str) -> dict[bytes, int]:
    """Return the numbers in a file with a name and a number in each line."""
    with open(path, "rb") as file:
        return {line.split()[0]: int(line.split()[1]) for line in file if line.strip()}
