"""The public names: where they are defined, and that the typing test uses each."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

TYPED = Path(__file__).parent / "typing" / "api.py"
#: what a program may import from; everything else may change without notice
PUBLIC = (
    "lazyimport",
    "lazyimport.delivery",
    "lazyimport.deploy",
    "lazyimport.packing",
    "lazyimport.ray",
    "lazyimport.reporting",
    "lazyimport.stores",
)


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


def test_every_name_is_there_and_listed(module: str) -> None:
    """Lazy names as well, which no type checker can promise."""
    if module == "lazyimport.ray":
        pytest.importorskip("ray", reason="needs the extra 'ray'")
    loaded = importlib.import_module(module)

    for name in names_of(module):
        assert getattr(loaded, name) is not None
    assert set(names_of(module)) <= set(dir(loaded))


def test_lazy_names_have_the_home_that_type_checkers_are_told(module: str) -> None:
    """The imports under ``if TYPE_CHECKING`` agree with the table of homes."""
    loaded = importlib.import_module(module)
    homes = getattr(loaded, "_HOMES", {})
    told = {
        alias.name: str(node.module)
        for block in ast.parse(Path(str(loaded.__file__)).read_text("utf-8")).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert homes == {name: told[name] for name in homes}
    assert set(homes) <= set(names_of(module))


def test_unknown_name_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = importlib.import_module(module).nonsense


def test_typing_test_uses_every_name(module: str) -> None:
    used = used_in(TYPED.read_text("utf-8"))

    assert [n for n in names_of(module) if f"{module}.{n}" not in used] == []


def test_star_import_binds_the_public_names_alone() -> None:
    bound: dict[str, object] = {}
    exec("from lazyimport import *", bound)

    assert set(bound) - {"__builtins__"} == set(names_of("lazyimport"))
