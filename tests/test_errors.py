"""The error tree: complete, as drawn, and able to travel."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import subprocess
import sys
import traceback

import pytest

import lazyimport.errors
from lazyimport.errors import (
    ArchiveImportError,
    ArchiveModuleMissing,
    DamagedArchive,
    InstallError,
    LazyImportError,
    PackError,
    SettingsError,
    StoreUnavailable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLASSES = [getattr(lazyimport.errors, name) for name in lazyimport.errors.__all__]

#: what leaves an import or a refusal, and is pickled as an error of Python's own
TRAVELS_AS = {
    lazyimport.errors.InstallError: RuntimeError,
    ArchiveImportError: ImportError,
    ArchiveModuleMissing: ModuleNotFoundError,
    lazyimport.errors.ArchiveReadError: OSError,
}


def facts_of(kind: type[LazyImportError]) -> dict[str, Any]:
    """Return a value for every fact that *kind* and its bases declare."""
    values: dict[str, Any] = {"int": 7, "tuple[str, ...]": ("one", "two")}
    facts: dict[str, Any] = {}
    if issubclass(kind, ImportError):
        facts.update(name="pkg.mod", path="/cache/trees/x/pkg/mod.py")
    if issubclass(kind, OSError):
        facts.update(errno=5, filename="/cache/trees/x/pkg/data.txt")
    return facts | {
        name: values.get(annotation, f"value of {name}")
        for base in kind.__mro__
        if base.__module__ == lazyimport.errors.__name__
        for name, annotation in inspect.get_annotations(base).items()
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", CLASSES)
def test_survives_pickling_with_its_facts(
    kind: type[LazyImportError], protocol: int
) -> None:
    """Ray sends what a task raises to the driver."""
    facts = facts_of(kind)
    error = kind("what happened; what to do", **facts)
    other = pickle.loads(pickle.dumps(error, protocol))
    # up to protocol 2 Python pickles a ModuleNotFoundError as an ImportError
    assert issubclass(TRAVELS_AS.get(kind, kind), type(other))
    assert "what happened; what to do" in str(other)
    for name, value in facts.items():
        assert getattr(other, name) == value, name


@pytest.mark.parametrize("kind", TRAVELS_AS)
def test_can_be_read_where_lazyimport_is_not_installed(
    kind: type[LazyImportError],
) -> None:
    """It leaves an import, or a refusal, in programs that know nothing of it."""
    data = pickle.dumps(kind("what happened", **facts_of(kind)))
    program = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        input=data,
        capture_output=True,
        check=True,
    )
    assert b"what happened" in done.stdout


@pytest.mark.parametrize("kind", CLASSES)
def test_a_copy_is_the_same(kind: type[LazyImportError]) -> None:
    facts = facts_of(kind)
    other = copy.copy(kind("what happened; what to do", **facts))
    assert type(other) is kind
    assert str(other) == "what happened; what to do"
    assert {name: getattr(other, name) for name in facts} == facts


@pytest.mark.parametrize("kind", CLASSES)
def test_survives_without_facts(kind: type[LazyImportError]) -> None:
    other = pickle.loads(pickle.dumps(kind("only words")))
    assert type(other) is TRAVELS_AS.get(kind, kind)
    assert "only words" in str(other)
    assert str(kind("")) == ""
    assert repr(kind("x")).startswith(f"{kind.__name__}('x'")


@pytest.mark.parametrize("kind", CLASSES)
def test_another_text_keeps_the_facts(kind: type[LazyImportError]) -> None:
    facts = facts_of(kind)
    error = kind("what happened", **facts)
    other = error.with_text(f"{error}; what to do")
    assert type(other) is kind
    assert (str(error), str(other)) == ("what happened", "what happened; what to do")
    assert {name: getattr(other, name) for name in facts} == facts


def test_an_explanation_is_told_once() -> None:
    """As a note; before Python 3.11, which has none, after the text."""
    calls: list[int] = []

    def explain() -> list[str]:
        calls.append(1)
        return ["  ask Ann"]

    error = ArchiveModuleMissing("no pkg", explain=explain, name="pkg")
    if sys.version_info >= (3, 11):
        assert (str(error), calls) == ("no pkg", [])
        error.add_note("mine")
        assert (error.__notes__, calls) == (["  ask Ann", "mine"], [1])
    for other in (error.with_text("worse"), pickle.loads(pickle.dumps(error))):
        lines = traceback.format_exception_only(type(other), other)
        assert "".join(lines).count("  ask Ann") == (
            type(other) is not type(error)
        ) or (sys.version_info >= (3, 11))
    assert calls == [1]


def test_notes_travel_too() -> None:
    error = DamagedArchive("x", member="a")
    notes = ["while importing a"]
    vars(error)["__notes__"] = notes  # what add_note makes, from 3.11 on
    assert vars(pickle.loads(pickle.dumps(error)))["__notes__"] == notes


def test_all_is_all() -> None:
    defined = {
        name
        for name, value in vars(lazyimport.errors).items()
        if isinstance(value, type) and value.__module__ == lazyimport.errors.__name__
    }
    assert defined == set(lazyimport.errors.__all__)


def test_one_tree() -> None:
    for kind in CLASSES:
        assert issubclass(kind, LazyImportError)
        assert not kind.__name__.startswith("_")
        assert inspect.getdoc(kind) != inspect.getdoc(Exception)


def test_the_drawing_is_the_tree() -> None:
    drawn = []
    above: list[str] = []
    for line in (lazyimport.errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w+)\b(.*)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        name = match[2]
        drawn.append(name)
        kind = getattr(lazyimport.errors, name)
        del above[depth:]
        if above:
            assert above[-1] in [base.__name__ for base in kind.__bases__], name
        for other in re.findall(r"also an? (\w+)", match[3]):
            assert other in [base.__name__ for base in kind.__mro__], name
        above.append(name)
    assert sorted(drawn) == sorted(lazyimport.errors.__all__)
    assert drawn[0] == "LazyImportError"


def test_what_python_expects_of_some() -> None:
    error = ArchiveModuleMissing("no pkg", name="pkg", path="/x", hash="0" * 64)
    assert isinstance(error, ModuleNotFoundError)
    assert (error.name, error.path, error.msg) == ("pkg", "/x", "no pkg")
    assert isinstance(SettingsError("x"), ValueError)
    with pytest.raises(ImportError):
        raise ArchiveImportError("x", name="m")


def test_only_what_may_pass_can_be_tried_again() -> None:
    assert [kind.__name__ for kind in CLASSES if kind.retryable] == ["StoreUnavailable"]
    assert StoreUnavailable("x", retryable=False).retryable is False


def test_facts_that_not_all_know_are_there_without_being_given() -> None:
    assert PackError("x").issues == ()
    refused = InstallError("x")
    assert (refused.hash, refused.installed) == (None, None)
