"""[tool.lazyimport]."""

from __future__ import annotations

import pickle

import pytest

from lazyimport.errors import PackError
from lazyimport.packing.config import Config, read_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, text: str) -> Config:
    (folder / "pyproject.toml").write_text(text)
    return read_config(folder)


def issues(folder: Path, text: str) -> list[str]:
    with pytest.raises(PackError) as info:
        read(folder, text)
    path = str(folder / "pyproject.toml")
    assert all(issue.startswith(f"{path}: ") for issue in info.value.issues)
    assert str(info.value) == "\n".join(info.value.issues)
    return [issue.removeprefix(f"{path}: ") for issue in info.value.issues]


def test_everything(tmp_path: Path) -> None:
    text = """
    [tool.lazyimport]
    exclude = ["a/", "*.csv"]
    include = ["b"]
    gitignore = false
    roots = ["src"]
    manifest = "conf/serve.yaml"
    app = "shop"
    python = ["3.11", "3.12"]
    optimize = [0, 2]
    materialize = ["c"]
    in-memory = ["d"]
    requires-python = ">=3.11,<4"
    """
    assert read(tmp_path, text) == Config(
        exclude=("a/", "*.csv"),
        include=("b",),
        gitignore=False,
        roots=(f"{tmp_path}/src",),
        manifest=f"{tmp_path}/conf/serve.yaml",
        app="shop",
        python=("3.11", "3.12"),
        optimize=(0, 2),
        materialize=("c",),
        in_memory=("d",),
        requires_python=">=3.11,<4",
    )


def test_keys_may_have_underscores(tmp_path: Path) -> None:
    text = """
    [tool.lazyimport]
    in_memory = ["d"]
    requires_python = ">=3.11"
    """
    expected = Config(in_memory=("d",), requires_python=">=3.11")
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize("text", ["", "[tool.other]\nexclude = 1\n", "[project]\n"])
def test_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Config()


def test_the_nearest_file_upward(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.lazyimport]\nexclude = ['x']\n")
    assert read_config(below).exclude == ("x",)
    (tmp_path / "a" / "pyproject.toml").write_text("")
    assert read_config(str(below)) == Config()


def test_the_projects_requires_python(tmp_path: Path) -> None:
    project = "[project]\nrequires-python = '>=3.12'\n"
    assert read(tmp_path, project).requires_python == ">=3.12"
    own = "[tool.lazyimport]\nrequires-python = '>=3.11'\n"
    assert read(tmp_path, project + own).requires_python == ">=3.11"


def test_all_that_is_wrong(tmp_path: Path) -> None:
    text = """
    [project]
    requires-python = "three"
    [tool.lazyimport]
    excludes = []
    exclude = "a"
    include = [1]
    gitignore = "yes"
    python = [3.12]
    optimize = [true]
    in__memory = ["d"]
    """
    found = issues(tmp_path, text)
    assert len(found) == 8
    assert "[tool.lazyimport] excludes: no such key; did you mean exclude?" == found[0]
    text = "[tool.lazyimport]\nzzz = 1"
    (unlike,) = issues(tmp_path, text)
    assert unlike.startswith("[tool.lazyimport] zzz: no such key; there are app, check")
    assert "[tool.lazyimport] exclude must be a list of strings, not 'a'" in found
    assert "[tool.lazyimport] optimize must be a list of 0, 1 or 2, not [True]" in found
    assert found[-1].startswith("[project] requires-python must be a version specifier")


@pytest.mark.parametrize("program", ["/usr/bin/python3", "./evil.sh", "python3", "3"])
def test_a_tree_names_no_program_that_runs(tmp_path: Path, program: str) -> None:
    (issue,) = issues(tmp_path, f"[tool.lazyimport]\npython = ['3.11', '{program}']")
    assert "python must be a list of versions" in issue
    assert "--python" in issue


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.lazyimport\n", "cannot be read"),
        (f"x = {'[' * 9000}", "cannot be read"),
        ("#" * (1 << 20) + "\n", "cannot be read: it has more than 1,048,576 bytes"),
        ("tool = 1\n", "[tool] must be a table"),
        ("[tool]\nlazyimport = 1\n", "[tool.lazyimport] must be a table"),
        ("[tool.lazyimport]\noptimize = []\n", "optimize must be"),
        ("[tool.lazyimport]\noptimize = [3]\n", "optimize must be"),
        ("[tool.lazyimport]\nrequires-python = 'x'\n", "requires-python must be"),
        ("[tool.lazyimport]\nexclude = ['']\n", "exclude must be"),
    ],
)
def test_one_that_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    (found,) = issues(tmp_path, text)
    assert words in found


def test_a_path_that_is_none(tmp_path: Path) -> None:
    for line in ('roots = ["a\\u0000b"]', 'manifest = "a\\u0000b"'):
        (issue,) = issues(tmp_path, f"[tool.lazyimport]\n{line}\n")
        assert "'a\\x00b' is no path" in issue


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PackError, match="cannot be read"):
        read_config(tmp_path)


def test_it_is_a_value() -> None:
    config = Config(exclude=("a",))
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(Config(exclude=("a",)))
    with pytest.raises(AttributeError):
        config.exclude = ()  # type: ignore[misc]
