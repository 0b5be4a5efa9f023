"""The archive as bytes and values, without IO of its own: ``docs/format.md``.

All of it needs `sha256`: without the price of OpenSSL, as long as there are few bytes.

Loading OpenSSL costs about 4 ms of a process's start, several times what opening an
archive costs; hashing a module of 10 kB costs 7 microseconds with it and 50 without.
So the built-in implementation is used until a process has hashed enough for OpenSSL
to pay.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap
    from typing import Any, Protocol, TypeAlias

    Data: TypeAlias = bytes | memoryview | mmap

    class _Hash(Protocol):
        def digest(self) -> bytes: ...


#: Bytes after which OpenSSL has paid for itself (4 ms against 5 ns a byte).
_ENOUGH = 1 << 19


def sha256(data: Data) -> bytes:
    """Return the SHA-256 of *data* as 32 bytes."""
    return _implementation(data).digest()


def _counted(data: Data) -> _Hash:
    """Hash with what costs nothing to load, until OpenSSL is cheaper."""
    global _implementation, _hashed  # noqa: PLW0603 - the choice of the process
    _hashed += len(data)
    if _hashed > _ENOUGH or "_hashlib" in sys.modules:
        _implementation = _builtin  # the import may look into an archive
        import hashlib

        _implementation = hashlib.sha256
        return hashlib.sha256(data)
    return _builtin(data)


def _load_builtin(data: Data) -> _Hash:
    """Load the implementation that Python is built with, and hash with it.

    A start does without where the archive is sealed. What finders of archives would do
    for an import may need a digest, so they are not asked.
    """
    global _builtin  # noqa: PLW0603 - as above
    from _frozen_importlib import BuiltinImporter, module_from_spec
    from _frozen_importlib_external import PathFinder

    name = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
    folders = [path for path in sys.path if str(path).endswith("/lib-dynload")]
    spec: Any = BuiltinImporter.find_spec(name) or PathFinder.find_spec(name, folders)
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        _builtin = module.sha256
    except (AttributeError, ImportError):  # without HACL*, or a policy is against it
        from hashlib import sha256 as _builtin
    return _builtin(data)


_hashed = 0
_builtin: Callable[[Data], _Hash] = _load_builtin
_implementation: Callable[[Data], _Hash] = _counted
