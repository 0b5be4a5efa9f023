"""What is packed where nobody says, and sources that lie in ``src``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazyimport.errors import PackError
from lazyimport.packing.collect import collect
from lazyimport.packing.config import Config
from lazyimport.packing.layout import choose_roots
from tests.support.compare_importers import write_tree

PROJECT = "[project]\nname = 'shop'\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = {"pyproject.toml": PROJECT, "src/shop/__init__.py": "import shop.x"}
    root = write_tree(tree, tmp_path / "project")
    monkeypatch.chdir(root)
    return root


def test_the_sources_of_a_project(project: Path) -> None:
    assert choose_roots([]) == [os.path.join(".", "src")]
    assert choose_roots(["a", project]) == ["a", str(project)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("src/__init__.py", ""),
        ("src/shop/x.py", "from src.shop import y"),
        ("src/shop/x.py", "def f():\n    import src\n"),
    ],
)
def test_a_package_that_is_called_src(project: Path, path: str, text: str) -> None:
    write_tree({path: text}, project)
    assert choose_roots([]) == ["."]


def test_a_folder_that_is_no_project(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    assert choose_roots([]) == ["."]


def test_roots_of_the_configuration(project: Path) -> None:
    text = '[tool.lazyimport]\nroots = ["src", "conf"]\n'
    (project / "pyproject.toml").write_text(text)
    (project / "below").mkdir()
    os.chdir("below")
    with pytest.raises(PackError, match=f"roots names {project}/conf, where there is"):
        choose_roots([])
    (project / "conf").mkdir()
    assert choose_roots([]) == [f"{project}/src", f"{project}/conf"]
    assert choose_roots(["."]) == ["."]


@pytest.mark.parametrize("name", ["..", "/etc", "link", "src/../.."])
def test_they_are_below_it(project: Path, name: str) -> None:
    """A tree of somebody else would have other files of this machine packed."""
    (project / "link").symlink_to("/etc")
    text = f'[tool.lazyimport]\nroots = ["{name}"]\n'
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(PackError, match="is not below"):
        choose_roots([])


def test_a_prefix_by_accident(project: Path) -> None:
    (warning,) = collect([project], Config()).warnings
    assert warning.startswith("what is below src/ will be imported as src.shop")
    assert collect([project / "src"], Config()).warnings == ()

    write_tree({"src/__init__.py": ""}, project)
    assert len(collect([project / "src"], Config()).warnings) == 1

    write_tree({"main.py": "import src.shop"}, project)
    assert collect([project], Config()).warnings == ()


def test_a_prefix_by_accident_in_a_repository_of_several_projects(
    tmp_path: Path,
) -> None:
    for name in ("core", "serve"):
        tree = {"pyproject.toml": f"# {name}", f"src/acme/{name}/__init__.py": ""}
        write_tree(tree, tmp_path / "packages" / name)
    (warning,) = collect([tmp_path], Config()).warnings
    assert warning == (
        "what is below packages/core/src/ will be imported as packages.core.src.acme "
        "from this archive; if it is to be acme, pack packages/core/src "
        "packages/serve/src"
    )
    with pytest.raises(PackError, match="pack the folder that has its packages"):
        collect([tmp_path / "packages/core", tmp_path / "packages/serve"], Config())

    write_tree({"shop/__init__.py": ""}, tmp_path)  # these are its examples
    assert collect([tmp_path], Config()).warnings == ()
