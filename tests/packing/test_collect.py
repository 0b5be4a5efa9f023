"""What goes into an archive, what does not, and what is refused."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

import pytest

import lazyimport
from lazyimport.errors import PackError
from lazyimport.packing import sources
from lazyimport.packing.collect import collect
from lazyimport.packing.config import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def make(folder: Path, tree: Mapping[str, object]) -> Path:
    """Write *tree*: text is a file, a dict a folder, a Path a link."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, below in tree.items():
        path = folder / name
        if isinstance(below, dict):
            make(path, below)
        elif isinstance(below, Path):
            path.symlink_to(below)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(below))
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True)


def paths(*roots: Any, config: Config | None = None, **settings: Any) -> list[str]:
    return [file.path for file in collect(roots, config or Config(**settings)).files]


def issues(
    *roots: Any, config: Config | None = None, **settings: Any
) -> tuple[str, ...]:
    with pytest.raises(PackError) as info:
        collect(roots, config or Config(**settings))
    return info.value.issues


class TestRoots:
    def test_a_folder_goes_in_at_the_top(self, tmp_path: Path) -> None:
        root = make(tmp_path / "x", {"a.py": "", "b": {"__init__.py": "", "c.txt": ""}})
        assert paths(root) == ["a.py", "b/__init__.py", "b/c.txt"]

    def test_a_package_goes_in_under_its_name(self, tmp_path: Path) -> None:
        root = make(tmp_path / "pkg", {"__init__.py": "", "a": {"b.py": ""}})
        assert paths(root) == paths(f"{root}/") == ["pkg/__init__.py", "pkg/a/b.py"]

    def test_a_file_goes_in_at_the_top(self, tmp_path: Path) -> None:
        make(tmp_path, {"x": {"mod.py": "1"}})
        assert paths(tmp_path / "x" / "mod.py") == ["mod.py"]

    def test_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(make(tmp_path / "pkg", {"__init__.py": ""}))
        assert paths(".") == ["pkg/__init__.py"]

    def test_several_are_merged(self, tmp_path: Path) -> None:
        a = make(tmp_path / "a", {"one.py": "", "same.py": "1", "ns": {"x.py": ""}})
        b = make(tmp_path / "b", {"two.py": "", "same.py": "1", "ns": {"y.py": ""}})
        pkg = make(tmp_path / "pkg", {"__init__.py": ""})
        expected = [
            "ns/x.py",
            "ns/y.py",
            "one.py",
            "pkg/__init__.py",
            "same.py",
            "two.py",
        ]
        assert paths(a, b, pkg, a, b / "two.py") == expected

    def test_two_files_for_one_path(self, tmp_path: Path) -> None:
        a = make(tmp_path / "a", {"same.py": "1", "x": ""})
        b = make(tmp_path / "b", {"same.py": "2", "x": {"y": ""}})
        found = issues(a, b)
        assert f"{a}/same.py and {b}/same.py differ, and both would be same.py" in found
        assert f"{a}/x would be the file x in the archive" in found[1]

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        missing = tmp_path / "missing"
        assert issues(missing) == (
            f"{missing} cannot be packed: No such file or directory",
        )

    def test_a_package_that_no_import_can_name(self, tmp_path: Path) -> None:
        root = make(tmp_path / "my-app", {"__init__.py": ""})
        (warning,) = collect([root], Config()).warnings
        assert "my-app" in warning

    def test_a_link(self, tmp_path: Path) -> None:
        make(tmp_path / "real", {"a.py": ""})
        (tmp_path / "link").symlink_to("real")
        assert paths(tmp_path / "link") == ["a.py"]


class TestFiles:
    def test_what_is_known_of_one(self, tmp_path: Path) -> None:
        make(tmp_path, {"a.py": "text", "run.sh": ""})
        (tmp_path / "run.sh").chmod(0o755)
        file, script = collect([tmp_path], Config()).files
        status = (tmp_path / "a.py").stat()
        assert file.location == str(tmp_path / "a.py")
        assert file.signature == (
            4,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
            status.st_dev,
        )
        assert (file.executable, script.executable) == (False, True)
        assert file.read() == b"text"

    def test_they_are_in_the_order_of_their_bytes(self, tmp_path: Path) -> None:
        names = [
            "a.py",
            "a/b.py",
            "a-b.py",
            "é.py",
            "z.py",
            "\U00010000.py",
            "\uffff.py",
        ]
        make(tmp_path, dict.fromkeys(names, ""))
        assert paths(tmp_path) == sorted(names, key=str.encode)

    @pytest.mark.parametrize(
        "change",
        [
            lambda path: path.write_text("cut"),
            lambda path: (path.rename(f"{path}.old"), path.write_text("text")),
            lambda path: path.unlink(),
            lambda path: [call(path) for call in (os.unlink, os.mkfifo)],
            lambda path: (path.unlink(), path.symlink_to(__file__)),
        ],
    )
    def test_one_that_is_another_before_it_is_read(
        self, tmp_path: Path, change: Callable[[Path], object]
    ) -> None:
        make(tmp_path, {"a.py": "text"})
        (file,) = collect([tmp_path], Config()).files
        change(tmp_path / "a.py")
        with pytest.raises(PackError) as info:
            file.read()
        assert f"{tmp_path}/a.py" in str(info.value)
        assert info.value.issues == (str(info.value),)

    @pytest.mark.parametrize("text", ["text and more", "TEXT"])
    def test_one_that_is_written_before_it_is_read(
        self, tmp_path: Path, text: str
    ) -> None:
        make(tmp_path, {"a.log": "text"})
        (file,) = collect([tmp_path], Config()).files
        (tmp_path / "a.log").write_text(text)
        assert file.read() == text.encode()

    def test_one_that_is_written_after_it_was_read(self, tmp_path: Path) -> None:
        make(tmp_path, {"run 1.log": "text"})
        (file,) = collect([tmp_path], Config()).files
        known = 4, hashlib.sha256(file.read()).digest()
        with (tmp_path / "run 1.log").open("a") as log:
            log.write(" and more")
        assert file.read_again(*known) == b"text"
        os.link(tmp_path / "run 1.log", tmp_path / "elsewhere")  # as uv does
        assert file.read_again(*known) == b"text"
        (tmp_path / "run 1.log").write_text("another text")
        with pytest.raises(PackError, match=r"changed while.*--exclude 'run 1\.log'"):
            file.read_again(*known)

    def test_one_that_never_comes_to_rest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path, {"a.log": "text"})
        (file,) = collect([tmp_path], Config()).files
        times = itertools.count(1)

        def touched(location: str, mode: str, opener: Any) -> Any:
            opened_file: Any = open(location, mode, opener=opener)  # noqa: SIM115
            read = opened_file.read

            def reading(size: int) -> Any:
                os.utime(location, ns=(0, next(times)))
                return read(size)

            monkeypatch.setattr(opened_file, "read", reading)
            return opened_file

        monkeypatch.setattr(sources, "open", touched, raising=False)
        with pytest.raises(PackError, match="changed while it was being packed"):
            file.read()


class TestDefaults:
    def test_what_is_dropped(self, tmp_path: Path) -> None:
        dropped = [
            ".git/config",
            ".hg/x",
            "__pycache__/a.cpython-311.pyc",
            "a.pyc",
            "a.pyo",
            ".venv/lib/x.py",
            "env/pyvenv.cfg",
            "env/lib/x.py",
            "cache/CACHEDIR.TAG",
            "cache/x.py",
            ".tox/x.py",
            "node_modules/x/y.js",
            ".idea/x",
            ".DS_Store",
            "sub/.DS_Store",
            ".a.py.swp",
            "a.py~",
            ".#a.py",
            "#a.py#",
            ".~lock.table.csv#",
            ".a.py.swn",
            "code.lza",
            ".lazyimportignore",
        ]
        kept = [
            "a.py",
            "b.pyc",  # without source
            "build/__init__.py",
            "dist/x.py",
            "x-1.dist-info/METADATA",
            "y.egg-info/PKG-INFO",
            "z/.gitignore",
            "z/data.bin",
        ]
        make(tmp_path, dict.fromkeys(dropped + kept, ""))
        tree = collect([tmp_path], Config())
        assert [file.path for file in tree.files] == kept
        assert tree.excluded == {}

    def test_a_rule_can_keep_it(self, tmp_path: Path) -> None:
        make(tmp_path, {"pkg/a~": "", "pkg/node_modules/b.js": "", "pkg/.tox/c": ""})
        make(tmp_path, {".lazyimportignore": "!a~\n"})
        assert paths(tmp_path, include=("pkg/node_modules",)) == [
            "pkg/a~",
            "pkg/node_modules/b.js",
        ]


class TestIgnoreFiles:
    def test_each_holds_in_its_folder(self, tmp_path: Path) -> None:
        make(
            tmp_path,
            {
                ".gitignore": "*.log\n/local.py\nout/\n",
                "a.py": "",
                "a.log": "",
                "local.py": "",
                "pkg/local.py": "",
                "pkg/.gitignore": "/only.py\n!keep.log\n",
                "pkg/only.py": "",
                "pkg/keep.log": "",
                "pkg/sub/only.py": "",
                "pkg/out/x.py": "",
            },
        )
        tree = collect([tmp_path], Config())
        assert [file.path for file in tree.files if "gitignore" not in file.path] == [
            "a.py",
            "pkg/keep.log",
            "pkg/local.py",
            "pkg/sub/only.py",
        ]
        assert tree.excluded == {
            "local.py": ".gitignore:2: /local.py",
            "pkg/only.py": "pkg/.gitignore:1: /only.py",
            "pkg/out/": ".gitignore:3: out/",
        }

    def test_can_be_switched_off(self, tmp_path: Path) -> None:
        make(tmp_path, {".gitignore": "a.py", "a.py": ""})
        assert "a.py" in paths(tmp_path, gitignore=False)
        make(tmp_path, {".lazyimportignore": "a.py"})
        assert "a.py" not in paths(tmp_path, gitignore=False)

    def test_ours_wins_over_gits(self, tmp_path: Path) -> None:
        make(tmp_path, {".gitignore": "gen.py\nb.py\n", "pkg/.gitignore": "c.py\n"})
        make(tmp_path, {".lazyimportignore": "!gen.py\nother.py\n!c.py\n"})
        make(tmp_path, {"gen.py": "", "other.py": "", "b.py": "", "pkg/c.py": ""})
        assert paths(tmp_path, exclude=(".gitignore",)) == ["gen.py", "pkg/c.py"]

    def test_those_above_up_to_the_repository(self, tmp_path: Path) -> None:
        make(
            tmp_path,
            {
                ".gitignore": "far.py\n",
                "repo/.git/HEAD": "",
                "repo/.gitignore": "*.so\n/src/app/secret.py\n",
                "repo/src/.gitignore": "near.py\n!kept.so\n",
                "repo/src/app/far.py": "",
                "repo/src/app/near.py": "",
                "repo/src/app/secret.py": "",
                "repo/src/app/x.so": "",
                "repo/src/app/kept.so": "",
            },
        )
        root = tmp_path / "repo" / "src" / "app"
        tree = collect([root], Config())
        assert [file.path for file in tree.files] == ["far.py", "kept.so"]
        assert tree.excluded == {
            "near.py": "../.gitignore:1: near.py",
            "secret.py": "../../.gitignore:2: /src/app/secret.py",
            "x.so": "../../.gitignore:1: *.so",
        }

    @pytest.mark.parametrize("line", ["/build/", "build", "/build/lib/", "*"])
    def test_not_those_that_drop_the_root_itself(
        self, tmp_path: Path, line: int | None
    ) -> None:
        make(tmp_path, {".git/HEAD": "", ".gitignore": f"*.so\n{line}\n"})
        root = make(tmp_path / "build" / "lib", {"a.py": "", "b.so": ""})
        assert paths(root) == ["a.py", "b.so"]

    def test_not_in_what_is_installed(self, tmp_path: Path) -> None:
        """uv writes a .gitignore with * at the top of an environment, and wheels
        bring some; none of them speaks of what the program needs."""
        make(
            tmp_path,
            {".git/HEAD": "", ".gitignore": "*.so\nlib/\n", "venv/.gitignore": "*"},
        )
        tree = {"x-1.dist-info/METADATA": "", "x/a.so": "", "x/lib/b.py": ""}
        site = make(tmp_path / "site", {**tree, ".gitignore": "*", "x/.gitignore": "*"})
        expected = ["x-1.dist-info/METADATA", "x/.gitignore", "x/a.so", "x/lib/b.py"]
        assert paths(site) == [".gitignore", *expected]
        site = make(tmp_path / "venv" / "site", tree)
        assert paths(site) == [path for path in expected if ".git" not in path]

    def test_what_git_tracks_stays(self, tmp_path: Path) -> None:
        ignored = {"lib/a.py": "", "lib/deep/b.txt": "", "c.so": ""}
        root = make(tmp_path, {".gitignore": "lib/\n*.so\nx.py\n", "m.py": ""})
        make(root, {f"app/{path}": text for path, text in ignored.items()})
        git(root, "init", "-q")
        git(root, "add", ".gitignore", "m.py")
        git(root, "add", "-f", "app")
        make(root, {"app/lib/new.py": "", "app/lib/more/d.py": "", "d.so": ""})
        make(root, {"x.py": "", ".lazyimportignore": "/app/c.so\n"})
        tree = collect([root], Config())
        kept = ["app/lib/a.py", "app/lib/deep/b.txt"]
        assert [file.path for file in tree.files] == [".gitignore", *kept, "m.py"]
        assert tree.excluded == {
            "app/c.so": ".lazyimportignore:1: /app/c.so",
            "app/lib/more/": ".gitignore:1: lib/",
            "app/lib/new.py": ".gitignore:1: lib/",
            "d.so": ".gitignore:2: *.so",
            "x.py": ".gitignore:3: x.py",
        }
        assert paths(root / "app") == ["c.so", *(path[4:] for path in kept)]
        assert "app/lib/new.py" in paths(root, include=("/app/lib/new.py",))
        assert "app/lib/a.py" not in paths(root, exclude=("a.py",))

    def test_a_repository_in_another_begins_anew(self, tmp_path: Path) -> None:
        root = make(tmp_path, {".gitignore": "lib/\n", "a.py": ""})
        below = make(
            root / "vendor", {"lib/b.py": "", "c.py": "", ".gitignore": "c.py"}
        )
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        for folder in (below, root):
            git(folder, "init", "-q")
            git(folder, "add", ".")
            git(folder, *who, "commit", "-q", "-m", "first")
        expected = ["a.py", "vendor/.gitignore", "vendor/c.py", "vendor/lib/b.py"]
        git(below, "add", "-f", "c.py")
        assert paths(root, exclude=("/.gitignore",)) == expected

    def test_git_that_does_not_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path, {".git/HEAD": "", ".gitignore": "b.py", "a.py": "", "b.py": ""})
        (warning,) = collect([tmp_path], Config()).warnings
        assert warning.startswith(f"git does not say what it tracks in {tmp_path} (")
        (tmp_path / "b.py").unlink()
        assert collect([tmp_path], Config()).warnings == ()

    def test_one_that_is_no_plain_file(self, tmp_path: Path) -> None:
        """git does not read such, and a link may lead to a file of the operator's."""
        outside = make(tmp_path / "outside", {"secret": "*"})
        root = make(tmp_path / "in", {"a.py": "", "b/x.py": ""})
        (root / ".gitignore").symlink_to(outside / "secret")
        os.mkfifo(root / "b" / ".gitignore")
        assert len(issues(root)) == 1  # the link leads out
        found = paths(root, exclude=("/.gitignore",))
        assert found == ["a.py", "b/x.py"]

    def test_one_that_is_too_large(self, tmp_path: Path) -> None:
        make(tmp_path, {"a.py": "", ".gitignore": "x" * 300_000})
        (issue,) = issues(tmp_path)
        assert "too many for patterns" in issue
        assert "a.py" in paths(tmp_path, gitignore=False)

    def test_odd_bytes(self, tmp_path: Path) -> None:
        (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbfa.py\r\n\xff\n!\nb.py")
        make(tmp_path, {"a.py": "", "b.py": "", "c.py": ""})
        assert paths(tmp_path) == [".gitignore", "c.py"]

    def test_the_whitelist_idiom(self, tmp_path: Path) -> None:
        make(
            tmp_path, {".gitignore": "*\n!*/\n!*.py\n", "a/b/c.py": "", "a/b/d.txt": ""}
        )
        assert paths(tmp_path) == ["a/b/c.py"]


class TestConfiguration:
    def test_exclude_is_about_archive_paths(self, tmp_path: Path) -> None:
        root = make(tmp_path / "pkg", {"__init__.py": "", "a.py": "", "sub/a.py": ""})
        tree = collect([root], Config(exclude=("/pkg/a.py", "sub/")))
        assert [file.path for file in tree.files] == ["pkg/__init__.py"]
        assert tree.excluded == {
            "pkg/a.py": "exclude: /pkg/a.py",
            "pkg/sub/": "exclude: sub/",
        }

    def test_include_wins(self, tmp_path: Path) -> None:
        make(
            tmp_path,
            {
                ".gitignore": "gen/\n*.so\n",
                "gen/a.py": "",
                "gen/deep/b.py": "",
                "gen/deep/c.py": "",
                "pkg/x.so": "",
                "pkg/y.so": "",
                "pkg/__pycache__/z.pyc": "",
            },
        )

        def included(*lines: str) -> list[str]:
            found = paths(tmp_path, include=lines, exclude=("b.py", "/.gitignore"))
            return [path.rpartition("/")[2] for path in found]

        assert included("x.so") == ["x.so"]
        assert included("gen/deep/b.py") == ["b.py"]
        assert included("b.py") == ["b.py"]  # wherever it is
        assert included("gen/") == ["a.py", "b.py", "c.py"]
        assert included("gen/deep", "!c.py") == ["b.py"]
        assert included("pkg/") == ["x.so", "y.so"]
        assert included("gen/**/c.py", "y.so") == ["c.py", "y.so"]
        assert included("*.pyc", "x.so") == [
            "x.so"
        ]  # not in what is dropped by default
        assert included("pkg/__pycache__/") == ["z.pyc"]

    def test_a_pattern_that_is_none(self, tmp_path: Path) -> None:
        make(tmp_path, {"a.py": ""})
        (issue,) = issues(tmp_path, exclude=("!",))
        assert "exclude: !" in issue

    def test_nothing_left(self, tmp_path: Path) -> None:
        make(tmp_path, {"a.py": "", "b/c.py": ""})
        (issue,) = issues(tmp_path, exclude=("*",))
        assert issue == (
            f"nothing to pack in {tmp_path}; left out: a.py (exclude: *), b/ "
            "(exclude: *)"
        )
        assert issues(tmp_path / "b", exclude=("c.py",))

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("test/x.py", "test/ (the standard library has a package 'test')"),
            (".venv/x.py", ".venv/ (dropped by default)"),
            ("env/pyvenv.cfg", "env/ (it is a virtual environment)"),
            ("var/CACHEDIR.TAG", "var/ (it is a cache)"),
            ("data.txt", "data.txt (.lazyimportignore:1: *.txt)"),
        ],
    )
    def test_a_root_with_nothing_left(
        self, tmp_path: Path, path: str, why: str
    ) -> None:
        root = make(tmp_path / "a", {path: "", ".lazyimportignore": "*.txt"})
        other = make(tmp_path / "b", {"m.py": ""})
        (issue,) = issues(root)
        assert issue.startswith(f"nothing to pack in {root}; left out: ")
        assert why in issue
        assert issue in collect([root, other], Config()).warnings

    def test_names_that_would_write_lines(self, tmp_path: Path) -> None:
        make(tmp_path, {"a\nwarning: b.py": "", ".gitignore": "*"})
        (issue,) = issues(tmp_path)
        assert "'a\\nwarning: b.py' (" in issue

    def test_an_empty_root(self, tmp_path: Path) -> None:
        assert issues(tmp_path) == (f"nothing to pack in {tmp_path}",)

    def test_a_store_or_cache_below_is_never_packed(self, tmp_path: Path) -> None:
        tree = {"a.py": "", "var/cache/x": "", "var/store/archives/y": ""}
        root = make(tmp_path / "src", tree)
        (root / "link").symlink_to("var/store")
        never = {
            f"{root}/var/cache": "the node cache",
            f"{root}/var/store": "the store",
        }
        found = collect([root], Config(include=("var/",)), never=never)
        assert [file.path for file in found.files] == ["a.py"]
        assert found.excluded == {
            "link/": "it is the store",
            "var/cache/": "it is the node cache",
            "var/store/": "it is the store",
        }
        with pytest.raises(PackError, match="cannot be packed: it is the store"):
            collect([root / "var" / "store"], Config(), never=never)
        assert "no roots" in issues()[0]


class TestLinks:
    def test_inside_they_are_followed(self, tmp_path: Path) -> None:
        make(tmp_path, {"a.py": "1", "pkg": {"__init__.py": ""}, "l.py": Path("a.py")})
        make(tmp_path, {"other": Path("pkg"), "pkg/up.py": Path("../a.py")})
        expected = ["a.py", "l.py", "other/__init__.py", "other/up.py"]
        assert paths(tmp_path) == [*expected, "pkg/__init__.py", "pkg/up.py"]

    def test_into_another_root(self, tmp_path: Path) -> None:
        a = make(tmp_path / "a", {"x.py": ""})
        b = make(tmp_path / "b", {"link": Path("../a")})
        assert paths(a, b) == ["link/x.py", "x.py"]

    def test_outside_they_are_refused(self, tmp_path: Path) -> None:
        outside = make(tmp_path / "outside", {"x.py": ""})
        root = make(
            tmp_path / "in", {"a": outside, "b.py": outside / "x.py", "c.py": ""}
        )
        for name, target, issue in zip(
            ("a", "b.py"), (outside, outside / "x.py"), issues(root), strict=True
        ):
            assert issue.startswith(f"{root}/{name} is a link to {target}, outside")
            assert "exclude it" in issue
        assert paths(root, exclude=("a", "b.py")) == ["c.py"]
        assert paths(root, follow_links=True) == ["a/x.py", "b.py", "c.py"]

    def test_a_tree_of_links_to_the_same_paths_elsewhere(self, tmp_path: Path) -> None:
        """As Bazel lays out what a program needs; it makes empty files of its own."""
        real = make(tmp_path / "real", {"app/m.py": "1", "app/data.txt": "2"})
        root = make(
            tmp_path / "tree",
            {
                "app/__init__.py": "",
                "app/m.py": real / "app/m.py",
                "app/data.txt": real / "app/data.txt",
            },
        )
        files = collect([root], Config()).files
        assert [file.read() for file in files] == [b"", b"2", b"1"]
        make(root, {"key": real / "app/m.py"})
        assert issues(root)[0].startswith(f"{root}/key is a link to {real}/app/m.py")
        make(root, {"own.py": "x = 1"})
        assert len(issues(root)) == 3

    def test_loops_outside(self, tmp_path: Path) -> None:
        outside = make(tmp_path / "outside", {"up": Path(".."), "a.py": ""})
        root = make(tmp_path / "in", {"link": outside})
        found = issues(root, follow_links=True)
        assert any("a folder it lies in" in issue for issue in found)

    def test_a_name_that_only_begins_like_the_root(self, tmp_path: Path) -> None:
        outside = make(tmp_path / "root-2", {"x.py": ""})
        root = make(tmp_path / "root", {"a.py": outside / "x.py"})
        assert len(issues(root)) == 1

    def test_dangling(self, tmp_path: Path) -> None:
        """Imports do not care about them, in a directory either."""
        make(tmp_path, {"a.py": Path("gone"), "b": Path("b"), "c.py": ""})
        make(tmp_path, {"d.py": Path("c.py/x"), "e": Path("gone/deep")})
        found = collect([tmp_path], Config())
        assert [file.path for file in found.files] == ["c.py"]
        assert [text.partition(", so")[0] for text in found.warnings] == [
            f"{tmp_path}/{name} is a link to {target}, which leads nowhere"
            for name, target in (
                ("a.py", "gone"),
                ("b", "b"),
                ("d.py", "c.py/x"),
                ("e", "gone/deep"),
            )
        ]

    def test_nothing_but_dangling_ones(self, tmp_path: Path) -> None:
        make(tmp_path, {"a.py": Path("gone")})
        (text,) = issues(tmp_path)
        assert "left out: a.py (it is a link to gone, which leads nowhere)" in text

    def test_loops(self, tmp_path: Path) -> None:
        make(tmp_path, {"a": {"b": {"up": Path(".."), "x.py": ""}, "me": Path(".")}})
        make(tmp_path, {"one": {"two": Path("../two")}, "two": {"one": Path("../one")}})
        found = issues(tmp_path)
        assert {issue.partition(" is a link to")[0] for issue in found} == {
            f"{tmp_path}/{path}"
            for path in ("a/b/up", "a/me", "one/two/one", "two/one/two")
        }
        assert all("a folder it lies in" in issue for issue in found)

    def test_a_file_that_an_editor_has_open(self, tmp_path: Path) -> None:
        """Emacs marks it by a link that leads to no file."""
        lock = Path("someone@laptop.4242:1700000000")
        make(tmp_path, {"views.py": "", ".#views.py": lock})
        assert paths(tmp_path) == ["views.py"]

    def test_what_is_dropped_may_lead_anywhere(self, tmp_path: Path) -> None:
        make(tmp_path, {".venv": Path("/usr"), "data": Path("/var"), "a.py": ""})
        make(tmp_path, {".gitignore": "data/\n"})
        assert paths(tmp_path) == [".gitignore", "a.py"]


class TestRefusals:
    def test_names(self, tmp_path: Path) -> None:
        make(tmp_path, {"a\\b.py": "", "a\nb.py": "", "a\x7fb": "", "fine é.py": ""})
        with open(os.fsencode(tmp_path) + b"/\xff.py", "w"):
            pass
        os.mkdir(os.fsencode(tmp_path) + b"/d\xfe")
        found = issues(tmp_path)
        assert len(found) == 5
        assert sum("is not UTF-8" in issue for issue in found) == 2
        assert (
            sum("a backslash or a control character" in issue for issue in found) == 3
        )
        assert "\n" not in "".join(found)
        "\n".join(found).encode()
        assert paths(tmp_path, exclude=("*", "!fine*")) == ["fine é.py"]

    @pytest.mark.parametrize(
        "path",
        ["types.py", "json/__init__.py", "asyncio/__init__.pyc", "math.cpython-311.so"],
    )
    def test_shadows_of_the_standard_library(self, tmp_path: Path, path: str) -> None:
        make(tmp_path, {path: "", "a.py": ""})
        (issue,) = issues(tmp_path)
        assert issue.startswith(f"{path} ({tmp_path}/{path}) would shadow")
        assert paths(tmp_path, exclude=(path,)) == ["a.py"]

    def test_a_module_that_takes_the_memory(self, tmp_path: Path) -> None:
        """A small artifact holds one that no machine could compile."""
        root = make(tmp_path, {"app.py": "", "lib.pyc": "", "app.txt": ""})
        for path in root.iterdir():
            os.truncate(path, (64 << 20) + 1)

        found = issues(root)
        assert [Path(issue.partition(" has ")[0]).name for issue in found] == [
            "app.py",
            "lib.pyc",
        ]
        assert all("a module at most 67,108,864" in issue for issue in found)

    def test_what_is_no_shadow(self, tmp_path: Path) -> None:
        """A folder without __init__ loses to the standard library, as on sys.path."""
        names = [
            "__main__.py",
            "html/x.txt",
            "code/run.py",
            "pkg/types.py",
            "test_a.py",
        ]
        make(tmp_path, dict.fromkeys(names, ""))
        assert paths(tmp_path) == sorted(names)

    def test_the_names_can_be_given(self, tmp_path: Path) -> None:
        make(tmp_path, {"future.py": "", "types.py": ""})
        with pytest.raises(
            PackError, match=r"future\.py .* would shadow 'future'"
        ) as info:
            collect([tmp_path], Config(), stdlib_names={"future"})
        assert len(info.value.issues) == 1

    def test_a_package_that_is_a_shadow(self, tmp_path: Path) -> None:
        (issue,) = issues(make(tmp_path / "json", {"__init__.py": ""}))
        assert "would shadow 'json'" in issue

    @pytest.mark.parametrize("path", ["test/__init__.py", "test/x.py"])
    def test_a_folder_called_test(self, tmp_path: Path, path: str) -> None:
        make(tmp_path, {path: "", "tests/y.py": "", "a/test/z.py": ""})
        tree = collect([tmp_path], Config())
        assert [file.path for file in tree.files] == ["a/test/z.py", "tests/y.py"]
        assert "test/ at the top was left out" in tree.warnings[0]
        assert path in paths(tmp_path, include=("/test/",))

    def test_all_are_told_at_once(self, tmp_path: Path) -> None:
        make(tmp_path, {f"l{number:02}": Path("/etc/passwd") for number in range(30)})
        with pytest.raises(PackError) as info:
            collect([tmp_path], Config())
        assert len(info.value.issues) == 30
        assert len(str(info.value).splitlines()) == 21
        assert str(info.value).endswith("\nand 10 more")
        assert pickle.loads(pickle.dumps(info.value)).issues == info.value.issues

    def test_what_may_not_be_read(self) -> None:
        """As another user: root may read everything."""
        program = (
            "import os, sys\n"
            "sys.path[:0] = eval(sys.argv[2])\n"
            "from lazyimport.errors import PackError\n"
            "from lazyimport.packing.collect import collect\n"
            "from lazyimport.packing.config import Config\n"
            "if not os.getuid(): os.setuid(12345)\n"
            "try: collect([sys.argv[1]], Config())\n"
            "except PackError as error: print(*error.issues, sep='\\n')\n"
        )
        where = [str(Path(lazyimport.__file__).parents[1]), *sys.path]
        # Not tmp_path: pytest keeps the folders above it from other users.
        with tempfile.TemporaryDirectory() as folder:
            root = make(Path(folder), {"a.py": "", "dir/b.py": "", "c.py": ""})
            root.chmod(0o755)
            (root / "a.py").chmod(0)
            (root / "dir").chmod(0)
            done = subprocess.run(
                [sys.executable, "-c", program, folder, repr(where)],
                capture_output=True,
                text=True,
                check=False,
            )
            (root / "dir").chmod(0o755)
        assert done.stderr == ""
        assert done.stdout.splitlines() == [
            f"{folder}/a.py cannot be read: Permission denied",
            f"{folder}/dir/ cannot be read: Permission denied",
        ]


class TestWarnings:
    def test_special_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path, {"a.py": ""})
        os.mkfifo(tmp_path / "pipe")
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("sock")
            tree = collect([tmp_path], Config())
        assert [file.path for file in tree.files] == ["a.py"]
        assert [warning.partition(" ")[0] for warning in tree.warnings] == [
            f"{tmp_path}/pipe",
            f"{tmp_path}/sock",
        ]

    def test_a_submodule_that_is_not_there(self, tmp_path: Path) -> None:
        """A job of CI checks the repository out, and none of its submodules."""
        root = make(tmp_path / "r", {"a.py": "", "empty": {}, "vendor": {}})
        git(root, "init", "--quiet")
        link = f"160000,{'4b' * 20},vendor"
        git(root, "update-index", "--add", "--cacheinfo", link)
        (warning,) = collect([root], Config()).warnings

        assert warning.startswith(f"{root}/vendor/ is empty, and git has what")

    def test_a_start_up_file_is_told(self, tmp_path: Path) -> None:
        make(tmp_path, {"hook.pth": "import a", "a.py": "", "below/b.pth": ""})
        tree = collect([tmp_path], Config())
        assert len(tree.files) == 3
        (warning,) = tree.warnings
        assert warning.startswith("hook.pth will not be read")

    def test_a_file_system_that_decomposes_names(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A tree on macOS has the names, and so the hash, that it has on Linux."""
        make(tmp_path, {"cafe\u0301": {"u\u0308ber.py": ""}, "ete\u0301.py": ""})
        lstat = os.lstat

        def either(path: str) -> os.stat_result:
            return lstat(unicodedata.normalize("NFD", str(path)))

        monkeypatch.setattr("lazyimport.packing.walk.os.lstat", either)
        assert ["caf\u00e9/\u00fcber.py", "et\u00e9.py"] == paths(tmp_path)

    def test_a_file_system_that_does_not(self, tmp_path: Path) -> None:
        make(tmp_path, {"a\u0301.txt": "1", "e\u0301.txt": "2", "\u00e9.txt": "3"})
        (tmp_path / "\u00e1.txt").hardlink_to(tmp_path / "a\u0301.txt")
        (tmp_path / "i\u0301.txt").write_text("4")

        names = ["a\u0301", "e\u0301", "i\u0301", "\u00e1", "\u00e9"]
        assert [f"{name}.txt" for name in names] == paths(tmp_path)

    def test_names_that_some_file_systems_fold(self, tmp_path: Path) -> None:
        a = make(tmp_path / "a", {"Foo.py": "", "Dir/x.py": "", "e\u0301.py": ""})
        b = make(tmp_path / "b", {"foo.py": "", "dir/x.py": "", "\u00e9.py": ""})
        tree = collect([a, b], Config())
        assert len(tree.files) == 6
        assert [warning.partition(" differ")[0] for warning in tree.warnings] == [
            "Dir and dir",
            "Foo.py and foo.py",
            "e\u0301.py and \u00e9.py",
        ]


@pytest.mark.slow
def test_forty_thousand_files(tmp_path: Path) -> None:
    """The promise is about a second; the bound leaves room for a busy machine."""
    make(tmp_path, {".gitignore": "build/\n*.log\n/local\ndocs/_build/\n*.py[cod]\n"})
    for package in range(400):
        folder = tmp_path / f"p{package // 20}" / f"s{package}"
        folder.mkdir(parents=True)
        for module in range(100):
            (folder / f"m{module}.py").touch()
    started = time.process_time()
    assert len(collect([tmp_path], Config()).files) == 40_001
    assert time.process_time() - started < 3
