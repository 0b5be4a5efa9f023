"""Build and replica agree: no class of one hash with the helpers of another."""

from __future__ import annotations

from types import CodeType, SimpleNamespace
from typing import Any

import pytest

from lazyimport.errors import InstallError
from lazyimport.ray.worker import archive_of, refuse_others

A, B = "a" * 64, "b" * 64


def code_in(filename: str) -> CodeType:
    return compile("x = 1", filename, "exec")


def make(code: CodeType, names: dict[str, Any]) -> tuple[CodeType, dict[str, Any]]:
    return code, names


@pytest.mark.parametrize("folder", ["/node/cache", "/root/.cache/trees/lazyimport"])
def test_a_function_of_another_archive_is_refused(folder: str) -> None:
    """Whatever the cache of the node is called where it was pickled."""
    cloudpickle = SimpleNamespace(_make_function=make)
    refuse_others(A, cloudpickle)

    code = code_in(f"{folder}/trees/{B}/pkg/mod.py")
    with pytest.raises(InstallError, match=rf"archive {B}, .* runs {A}") as caught:
        cloudpickle._make_function(code, {})
    assert (B, A) == (caught.value.hash, caught.value.installed)


@pytest.mark.parametrize(
    "filename",
    [
        f"/cache/trees/{A}/pkg/mod.py",
        "/usr/lib/python3.11/mod.py",
        "<stdin>",
        "/home/me/trees/oak/mod.py",
        f"/home/me/trees/{B}",
        f"/home/me/trees/{B[:-1]}g/mod.py",
    ],
)
def test_every_other_function_is_made(filename: str) -> None:
    cloudpickle = SimpleNamespace(_make_function=make)
    refuse_others(A, cloudpickle)
    code = code_in(filename)

    assert (code, {"g": 1}) == cloudpickle._make_function(code, {"g": 1})


def test_functions_that_pass_are_pickled_under_their_own_name() -> None:
    """The worker pickles functions too, by the name of what makes them."""
    cloudpickle = SimpleNamespace(_make_function=make)
    refuse_others(A, cloudpickle)

    assert make.__qualname__ == cloudpickle._make_function.__qualname__
    assert make.__module__ == cloudpickle._make_function.__module__


def test_archive_of_a_file_name() -> None:
    assert archive_of(f"/cache/trees/{A}/pkg/mod.py") == A
    assert archive_of(f"/trees/cache/trees/{A}/trees/mod.py") == A
    assert archive_of("/cache/archives/mod.py") is None
