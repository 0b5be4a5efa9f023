"""The import watcher: a function is called with a module once that has run."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from lazyimport.importing import ImportWatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def watcher() -> ImportWatcher:
    return ImportWatcher()


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`watched_one` and `watched_two` can be imported, and nothing of it stays."""
    for name in ("watched_one", "watched_two"):
        (tmp_path / f"{name}.py").write_text("import sys\nready = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    meta_path = list(sys.meta_path)
    yield
    assert sys.meta_path == meta_path
    for name in ("watched_one", "watched_two"):
        sys.modules.pop(name, None)


def test_called_after_the_module_has_run(watcher: ImportWatcher) -> None:
    seen: list[tuple[str, bool]] = []

    def note(module: ModuleType) -> None:
        seen.append((module.__name__, module.ready))

    watcher.watch("watched_one", note)
    assert watcher.watches("watched_one")
    module = importlib.import_module("watched_one")
    importlib.import_module("watched_two")
    watcher.unwatch(note)

    assert seen == [("watched_one", True)]
    assert not watcher.watches("watched_one")
    assert type(module.__loader__) is SourceFileLoader
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__


def test_called_at_once_if_it_is_imported(watcher: ImportWatcher) -> None:
    seen: list[ModuleType] = []
    module = importlib.import_module("watched_one")

    watcher.watch("watched_one", seen.append)
    assert seen == [module]
    watcher.unwatch(seen.append)


def test_called_again_when_it_runs_again(watcher: ImportWatcher) -> None:
    seen: list[ModuleType] = []
    watcher.watch("watched_one", seen.append)

    module = importlib.import_module("watched_one")
    importlib.reload(module)
    del sys.modules["watched_one"]
    again = importlib.import_module("watched_one")
    watcher.unwatch(seen.append)
    importlib.reload(again)

    assert seen == [module, module, again]


def test_each_function_leaves_by_itself(watcher: ImportWatcher) -> None:
    """The finder stays until the last one does."""
    seen: list[ModuleType] = []

    def other(_: ModuleType) -> None:
        raise AssertionError

    watcher.watch("watched_one", other)
    watcher.watch("watched_one", seen.append)
    watcher.watch("watched_two", seen.append)
    watcher.unwatch(other)
    assert watcher in sys.meta_path

    found = [importlib.import_module(f"watched_{n}") for n in ("one", "two")]
    watcher.unwatch(seen.append)

    assert seen == found


def test_what_nobody_has_is_missing(watcher: ImportWatcher) -> None:
    seen: list[ModuleType] = []
    watcher.watch("watched_three", seen.append)

    with pytest.raises(ModuleNotFoundError, match="watched_three"):
        importlib.import_module("watched_three")
    watcher.unwatch(seen.append)

    assert seen == []


def test_finder_in_front_that_asks_all_others(watcher: ImportWatcher) -> None:
    """As those of wrapt and of debuggers."""

    class Front:
        asking = False

        def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
            if self.asking:
                return None
            self.asking = True
            try:
                return importlib.util.find_spec(name)
            finally:
                self.asking = False

    seen: list[ModuleType] = []
    watcher.watch("watched_one", seen.append)
    sys.meta_path.insert(0, Front())
    module = importlib.import_module("watched_one")
    del sys.meta_path[0]
    watcher.unwatch(seen.append)

    assert seen == [module]


@pytest.mark.parametrize("then", ["import", "load"])
def test_asking_for_a_spec_disarms_nothing(watcher: ImportWatcher, then: str) -> None:
    """A library that asks whether a module is there, or loads it by its spec."""
    seen: list[ModuleType] = []
    watcher.watch("watched_one", seen.append)
    spec = importlib.util.find_spec("watched_one")
    assert spec is not None
    assert importlib.util.find_spec("watched_one") is not None
    if then == "import":
        module = importlib.import_module("watched_one")
    else:
        module = importlib.util.module_from_spec(spec)
        assert spec.loader is not None
        spec.loader.exec_module(module)
    watcher.unwatch(seen.append)

    assert seen == [module]
