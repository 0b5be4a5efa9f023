"""The author's side: directories and files become an archive. `pack` does all of it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.packing.options import PackOptions
    from lazyimport.packing.packer import pack
    from lazyimport.packing.roots import Packed

__all__ = ["PackOptions", "Packed", "pack"]

_HOMES = {
    "PackOptions": "lazyimport.packing.options",
    "Packed": "lazyimport.packing.roots",
    "pack": "lazyimport.packing.packer",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(__import__(_HOMES[name], fromlist=[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
