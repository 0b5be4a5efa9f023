"""What is wrapped for a recorder: the objects that import, while something is recorded.

A process that is not recorded pays nothing for it. The import machinery gives no notice
of the beginning and end of imports, so two of its functions are wrapped: the one that
imports what is not there yet, which runs once for each module, in the thread that
imports it; and the one that waits for another thread. CPython's ``-X importtime`` does
the same in C.
"""

from __future__ import annotations

import _frozen_importlib

from lazyimport.importing import EXTENSION_SUFFIXES, hidden
from lazyimport.importing.loader import ArchiveLoader
from lazyimport.importing.recorder import LOAD, PUT, RUN, WAIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    from lazyimport.cache.materialize import Materializer
    from lazyimport.errors import CacheError
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry
    from lazyimport.importing import Changes
    from lazyimport.importing.recorder import Recorder
    from lazyimport.importing.tree import Tree

_EXTENSIONS = tuple(EXTENSION_SUFFIXES)


def record(recorder: Recorder, tree: Tree, changes: Changes) -> None:
    """Show *recorder* what *tree* reads and what is imported; *changes* end it."""
    changes.at_undo(recorder.flush)
    _wrap_machinery(recorder, changes)
    _wrap_loader(recorder, changes)
    _wrap_tree(recorder, tree, changes)
    _wrap_archive(recorder, tree.archive, changes)


def _wrap_machinery(recorder: Recorder, changes: Changes) -> None:
    machinery: Any = _frozen_importlib
    load: Callable[..., ModuleType] = machinery._find_and_load_unlocked  # noqa: SLF001
    lock = machinery._ModuleLock  # noqa: SLF001
    acquire: Callable[[object], object] = lock.acquire

    @hidden
    def load_recorded(name: str, *arguments: Any, **options: Any) -> ModuleType:
        begun = recorder.begin(name)
        failed = True
        try:
            module = load(name, *arguments, **options)
            failed = False
            return module
        finally:
            recorder.end(begun, failed=failed)

    def acquire_recorded(self: object) -> object:
        return recorder.during(WAIT, acquire, self)

    changes.replace(machinery, "_find_and_load_unlocked", load_recorded)
    changes.replace(lock, "acquire", acquire_recorded)


def _wrap_loader(recorder: Recorder, changes: Changes) -> None:
    get_code = ArchiveLoader.get_code

    @hidden
    def get_code_recorded(self: ArchiveLoader, fullname: str | None = None) -> CodeType:
        thread, name = recorder.importing()
        if name != self.name:  # somebody asks for the code of a module
            return get_code(self, fullname)
        thread.imports[-1].comes_from(self._tree, self._entry)
        code = recorder.during(LOAD, get_code, self, fullname)
        thread.turn(RUN)
        return code

    changes.replace(ArchiveLoader, "get_code", get_code_recorded)


def _wrap_tree(recorder: Recorder, tree: Tree, changes: Changes) -> None:
    prepare, put, materializer = tree.prepare, tree.put, tree._materializer  # noqa: SLF001 - ours

    class Recording:
        """What puts files on disk."""

        def __init__(self, files: Materializer) -> None:
            self._files = files

        def put_package(self, top: str, *, at_a_glance: bool = False) -> str:
            put = self._files.put_package
            return recorder.put(top, lambda top: put(top, at_a_glance=at_a_glance))

        def __getattr__(self, name: str) -> object:
            return getattr(self._files, name)

    class Looked(dict[str, str]):
        """Who looked at what."""

        def setdefault(self, path: str, looker: str = "") -> str:
            if path not in self:
                recorder.look(path, looker)
            return super().setdefault(path, looker)

    @hidden
    def prepare_recorded(path: str) -> None:
        recorder.during(PUT, prepare, path)

    @hidden
    def put_recorded(entry: Entry) -> CacheError | None:
        thread, name = recorder.importing()
        refusal = recorder.during(PUT, put, entry)
        file = entry.path.rpartition("/")[2]
        tail = name.rpartition(".")[2]
        if tail and file.startswith(f"{tail}.") and file.endswith(_EXTENSIONS):
            thread.imports[-1].comes_from(tree, entry)
            thread.turn(LOAD)
        return refusal

    changes.replace(tree, "prepare", prepare_recorded)
    changes.replace(tree, "put", put_recorded)
    changes.replace(tree, "looked", Looked(tree.looked))
    if materializer is not None:
        changes.replace(tree, "_materializer", lambda: Recording(materializer()))


def _wrap_archive(recorder: Recorder, archive: Archive, changes: Changes) -> None:
    plain: Any = type(archive)

    class Recorded(plain):  # type: ignore[misc]
        """The archive: its tree is not all that reads it."""

        __slots__ = ()

        def content(self, entry: Entry) -> bytes | memoryview:
            member = entry.digest, entry.size
            content: Callable[..., bytes | memoryview] = plain.content
            return recorder.read("file", entry, member, content, self, entry)

        def bytecode(self, entry: Entry, variant: int) -> bytes | memoryview | None:
            code = entry.code(variant)
            if code is None:
                return None
            member = code.digest, code.size
            bytecode: Callable[..., bytes | memoryview] = plain.bytecode
            return recorder.read("code", entry, member, bytecode, self, entry, variant)

    changes.replace(archive, "__class__", Recorded)
