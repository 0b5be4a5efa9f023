"""The modules that a program may import from; everything else is private."""

from __future__ import annotations

__all__ = ["PUBLIC"]

PUBLIC = [
    "lazyimport",
    "lazyimport.delivery",
    "lazyimport.deploy",
    "lazyimport.errors",
    "lazyimport.live",
    "lazyimport.packing",
    "lazyimport.ray",
    "lazyimport.reporting",
    "lazyimport.stores",
]
