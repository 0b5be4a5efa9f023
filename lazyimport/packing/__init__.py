"""The author's side: directories and files become an archive. `pack` does all of it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.packing.options import PackOptions
    from lazyimport.packing.packer import pack
    from lazyimport.packing.roots import Packed
else:
    from lazyimport.lazy import exports

    __getattr__, __dir__ = exports(
        globals(), options="PackOptions", packer="pack", roots="Packed"
    )

__all__ = ["PackOptions", "Packed", "pack"]
