"""The public names: where they are defined, and that the typing test uses each."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from inspect import getdoc, isclass, isfunction
from pathlib import Path

import pytest

from tests.support.public import PUBLIC

TYPED = Path(__file__).parent / "typing" / "api.py"


@pytest.fixture(params=PUBLIC)
def module(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def names_of(module: str) -> list[str]:
    return list(importlib.import_module(module).__all__)


def used_in(source: str) -> set[str]:
    """Return the dotted names in *source*, with what its imports bind spelled out."""
    bound: dict[str, str] = {}
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Name):
            found.add(node.id)
    spelled = set()
    for name in found:
        head, dot, rest = name.partition(".")
        spelled.add(bound.get(head, head) + dot + rest)
    return spelled


def test_all_is_sorted_and_without_repetition(module: str) -> None:
    """Constants come first, as ruff sorts."""
    names = names_of(module)
    assert sorted(set(names), key=lambda name: (not name.isupper(), name)) == names


def test_every_name_is_there_listed_and_documented(module: str) -> None:
    """Lazy names as well, which no type checker can promise."""
    if module == "lazyimport.ray":
        pytest.importorskip("ray", reason="needs the extra 'ray'")
    loaded = importlib.import_module(module)

    for name in names_of(module):
        found = getattr(loaded, name)
        if isclass(found) or isfunction(found):
            assert found.__name__ == name
            assert getdoc(found)
    assert set(names_of(module)) <= set(dir(loaded))


def test_completion_offers_what_is_public() -> None:
    """And the modules of the package that are loaded: not what it imports itself."""
    import lazyimport

    offered = {name for name in dir(lazyimport) if not name.startswith("_")}
    modules = {n for n in offered if f"lazyimport.{n}" in sys.modules}
    assert {*lazyimport.__all__, "errors", "live", "ray", *modules} == offered


def test_one_import_is_enough_for_all_of_it() -> None:
    """In a notebook nobody imports ``lazyimport.ray`` beside ``lazyimport``."""
    code = "import lazyimport as l; l.live.follow, l.errors.StoreError, l.ray.__all__"
    subprocess.run([sys.executable, "-c", code], check=True)


def homes_of(module: str) -> dict[str, str]:
    """Return by name where type checkers are told that a public name is."""
    source = Path(str(importlib.import_module(module).__file__)).read_text("utf-8")
    return {
        alias.name: str(node.module)
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in names_of(module)
    }


def test_lazy_names_have_the_home_that_type_checkers_are_told(module: str) -> None:
    if module == "lazyimport.ray":
        pytest.importorskip("ray", reason="needs the extra 'ray'")
    loaded = importlib.import_module(module)

    for name, home in homes_of(module).items():
        assert getattr(loaded, name) is getattr(importlib.import_module(home), name)


def test_unknown_name_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = importlib.import_module(module).nonsense


def test_no_name_is_loaded_before_it_is_asked_for(module: str) -> None:
    """Importing a room costs next to nothing; workers load some when they start."""
    program = (
        f"import sys, {module} as room\n"
        f"print({set(homes_of(module).values())!r} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"


def test_deploying_needs_no_ray() -> None:
    program = (
        "import sys, lazyimport.deploy as room\n"
        "for name in room.__all__: getattr(room, name)\n"
        "print('ray' in sys.modules, 'lazyimport.ray' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False False\n"


@pytest.mark.parametrize("module", [m for m in PUBLIC if m != "lazyimport.errors"])
def test_typing_test_uses_every_name(module: str) -> None:
    used = used_in(TYPED.read_text("utf-8"))

    assert [n for n in names_of(module) if f"{module}.{n}" not in used] == []


def test_star_import_binds_the_public_names_alone() -> None:
    bound: dict[str, object] = {}
    exec("from lazyimport import *", bound)

    assert set(bound) - {"__builtins__"} == set(names_of("lazyimport"))
