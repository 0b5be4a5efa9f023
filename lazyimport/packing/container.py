"""A container of another tool becomes an archive in the node cache."""

from __future__ import annotations

import os

from lazyimport.errors import PackError
from lazyimport.packing.compile import find_interpreters
from lazyimport.packing.layout import find_layout
from lazyimport.packing.roots import pack_roots
from lazyimport.packing.unpack import unpack
from lazyimport.reporting import SILENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lazyimport.cache.node import NodeCache
    from lazyimport.packing.config import Config
    from lazyimport.packing.roots import Packed
    from lazyimport.reporting import Reporter

__all__ = ["pack_container"]


def pack_container(
    file: str,
    suffix: str,
    scratch: str,
    cache: NodeCache,
    *,
    what: str,
    subdirectory: str = "",
    adjust: Callable[[Config], Config] = lambda config: config,
    jobs: int | None = None,
    reporter: Reporter = SILENT,
) -> Packed:
    """Pack the container at *file* and keep the archive in *cache*.

    *suffix* says what it is, `find_layout` where its modules are, and *adjust*
    changes the configuration it brings. It is unpacked into *scratch*, a folder
    to be removed by the caller. Bytecode of unchanged sources is taken from the
    container that was packed into this cache before.

    Raises PackError, in which *what* names the container; OSError if the disk
    refuses; CacheError.
    """
    folder = os.path.join(os.path.realpath(scratch), "tree")
    os.mkdir(folder)
    try:
        unpack(file, suffix, folder, what=what)
        layout = find_layout(folder, suffix, subdirectory, what)
        config = adjust(layout.config)
        interpreters = find_interpreters(config.python)
        return pack_roots(
            [],
            config,
            interpreters,
            cache,
            staged=layout.roots,
            jobs=jobs,
            reporter=reporter,
            trust_stat=False,  # everything has just been written
        )
    except PackError as error:
        # Nobody can look into the folder where it happened.
        issues = tuple(i.replace(folder, what) for i in error.issues)
        raise PackError(str(error).replace(folder, what), issues=issues) from error
