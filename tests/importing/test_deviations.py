"""Each row of docs/deviations.md is true, and what it advises works.

The table below names the test that shows it, here or elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from textwrap import dedent

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.publish import publish
from lazyimport.packing.config import Config
from lazyimport.stores import open_store, writable
from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

HERE = Path(__file__)
TESTS = HERE.parents[1]
PAGE = HERE.parents[2] / "docs" / "deviations.md"

#: title of a row -> the test that shows it
SHOWN_BY = {
    "Loader class": f"{HERE}::test_rows",
    "Order": "test_runtime.py::test_policy_path_is_the_order_of_sys_path",
    "Modification times": f"{HERE}::test_rows",
    "Read-only files": f"{HERE}::test_rows",
    "Empty directories do not travel": f"{HERE}::test_rows",
    "Symbolic links": f"{HERE}::test_rows",
    "New files beside a module": f"{HERE}::test_rows",
    "A missing module": "test_runtime.py::test_missing_module",
    "`python -O`": "importing/test_like_a_directory.py::test_second_run_uses_what_the_node_compiled",
    "One frame": f"{HERE}::test_rows",
    "`*.pth` files": "packing/test_collect.py::test_a_start_up_file_is_told",
    "Where no file can be made": f"{HERE}::test_where_no_file_can_be_made",
    "Tracing or profiling an import": f"{HERE}::test_rows",
    "Audit events": "importing/test_interpreter.py::test_audit_events",
    "What C code opens": f"{HERE}::test_rows",
    "A child process with an environment of its own": f"{HERE}::test_a_child_with_an_environment_of_its_own",
    "`pkg_resources`": "importing/test_pkg_resources.py::test_what_stays_different",
    "A process that became another user": "cache/test_place.py::test_files_are_found_by_their_old_names",
    "A file that a program removes from its own tree": "importing/test_looks.py::test_what_somebody_removed_comes_back_when_code_looks",
    "Where code may change": "live/test_swapping.py::test_live_is_off_unless_the_environment_says_so",
    "A file on demand": "delivery/test_blobs_wanted.py::test_stay_in_the_store_until_somebody_looks",
    "`create_module()`": f"{HERE}::test_rows",
    "Generations of the garbage collector": "importing/test_promotion.py::test_what_is_there_is_promoted",
    "Code that looks for site-packages": f"{HERE}::test_code_that_looks_for_site_packages",
}

TREE: Files = {
    "pure/__init__.py": "",
    "pure/traced.py": "x = 1\n",
    "unseen/__init__.py": "",
    "unseen/other.py": "other = 'module'\n",
    "files/__init__.py": "here = __file__\n",
    "files/tool.sh": "#!/bin/sh\n",
    "space/part/__init__.py": "here = __file__\n",
    "space/data.txt": "data\n",
    "memory/data.txt": "data\n",
    "thing-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1\n",
}

#: title of the row -> program, what a directory says, what an archive says
ROWS: dict[str, tuple[str, str, str]] = {
    "Loader class": (
        """
        import importlib.machinery as m, pure
        print(type(pure.__loader__) is m.SourceFileLoader)
        """,
        "True",
        "False",
    ),
    "Modification times": (
        """
        import files, os
        loader = files.__loader__
        print(loader.path_stats(loader.path)["mtime"] > 0, os.stat(files.__file__).st_mtime > 0)
        """,
        "True True",
        "False True",
    ),
    "Read-only files": (
        """
        import files, os
        folder = os.path.dirname(files.__file__)
        print(*(oct(os.stat(f"{folder}/{name}").st_mode)[-3:] for name in ("__init__.py", "tool.sh")))
        """,
        "640 750",
        "444 555",
    ),
    "Empty directories do not travel": (
        "import importlib.util as u; print(u.find_spec('empty') is not None)",
        "True",
        "False",
    ),
    "Symbolic links": (
        """
        import files, os
        link = os.path.join(os.path.dirname(files.__file__), "link.sh")
        print(os.path.islink(link), open(link).read())
        """,
        "True #!/bin/sh\n",
        "False #!/bin/sh\n",
    ),
    "New files beside a module": (
        """
        import files, importlib, os
        folder = os.path.dirname(files.__file__)
        os.makedirs(os.path.dirname(folder) + "/space", exist_ok=True)
        found = []
        for path, name in ((folder + "/new.py", "files.new"), (os.path.dirname(folder) + "/space/new.py", "space.new")):
            with open(path, "w") as file: file.write("x = 1")
            importlib.invalidate_caches()
            try: importlib.import_module(name); found.append(True)
            except ModuleNotFoundError: found.append(False)
            os.unlink(path)
        print(*found)
        """,
        "True True",
        "False False",
    ),
    "What C code opens": (
        """
        import io, unseen
        try: print(len(io.FileIO(unseen.__path__[0] + "/other.py").read()) > 9)
        except OSError: print("not there")
        """,
        "True",
        "not there",
    ),
    "One frame": (
        """
        import os, pure, traceback, warnings
        try: os.stat(pure.__file__ + ".none")
        except OSError as error: names = [f.name for f in traceback.extract_tb(error.__traceback__)]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            open(os.devnull, "rb", buffering=1).close()
        print(names, os.path.basename(told[0].filename))
        """,
        "['<module>'] <string>",
        "['<module>', 'put_on_disk_and_call'] wrappers.py",
    ),
    "Tracing or profiling an import": (
        """
        import sys
        seen = set()
        sys.settrace(lambda frame, *_: seen.add(frame.f_globals.get("__name__", "").partition(".")[0]))
        try: import pure.traced
        finally: sys.settrace(None)
        print("pure" in seen, "lazyimport" in seen)
        """,
        "True False",
        "True True",
    ),
    "`create_module()`": (
        "import pure, sys; print(sys.version_info < (3, 12) and pure.__loader__.create_module(pure.__spec__) is not None)",
        "False",
        str(sys.version_info < (3, 12)),
    ),
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The tree as a directory, and packed."""
    base = tmp_path_factory.mktemp("deviations")
    folder = write_tree(TREE, base / "site")
    (folder / "empty").mkdir()
    (folder / "files" / "__init__.py").chmod(0o640)
    (folder / "files" / "tool.sh").chmod(0o750)
    (folder / "files" / "link.sh").symlink_to("tool.sh")
    config = Config(in_memory=("memory",))
    return folder, base / "cache", pack_tree(folder, base / "cache", config)


def test_every_row_is_shown() -> None:
    """The page and this table have the same rows."""
    titles = re.findall(
        r"^\d+\. \*\*(.+?)\.?\*\*", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert titles == list(SHOWN_BY)
    assert set(ROWS) == {
        title for title in SHOWN_BY if SHOWN_BY[title].endswith("::test_rows")
    }
    for where in SHOWN_BY.values():
        file, _, test = where.partition("::")
        assert f"def {test}(" in (TESTS / file).read_text(encoding="utf-8"), where


def test_rows(trees: tuple[Path, Path, str]) -> None:
    """All run in one process, where none disturbs the next."""
    folder, cache, hash_ = trees
    programs = [dedent(program) for program, _, _ in ROWS.values()]
    program = f"for program in {programs}: exec(program, {{}})"

    directory = from_directory(folder, program)
    archive = from_archive(hash_, cache, program)

    assert directory == ("".join(f"{said}\n" for _, said, _ in ROWS.values()), "", 0)
    assert archive == ("".join(f"{said}\n" for _, _, said in ROWS.values()), "", 0)


def test_code_that_looks_for_site_packages(
    trees: tuple[Path, Path, str], tmp_path: Path
) -> None:
    """Row 24: a package that is installed is there, and one of an archive is not."""
    folder, cache, hash_ = trees
    site = sysconfig.get_path("purelib", "posix_prefix", {"base": str(tmp_path)})
    shutil.copytree(folder, site)
    program = f"""
        import os, pure
        print(os.path.dirname(pure.__path__[0]) == {site!r}, "site-packages" in pure.__file__)
        """

    directory = from_directory(Path(site), dedent(program))
    archive = from_archive(hash_, cache, dedent(program))

    assert (directory.stdout, archive.stdout) == ("True True\n", "False False\n")


def test_a_child_with_an_environment_of_its_own(
    trees: tuple[Path, Path, str],
) -> None:
    """Row 17 and its advice."""
    _, cache, hash_ = trees
    program = """
        import os, subprocess, sys
        for environ in ({}, {**os.environ, "MORE": "1"}):
            child = "import lazyimport.activation as a; a.start(); import pure"
            print(subprocess.run([sys.executable, "-c", child], env=environ, stderr=subprocess.DEVNULL).returncode)
        """

    assert from_archive(hash_, cache, dedent(program)).stdout == "1\n0\n"


def test_where_no_file_can_be_made(
    trees: tuple[Path, Path, str], tmp_path: Path
) -> None:
    """Row 13: code runs, and a warning says that there are no files."""
    _, cache, hash_ = trees
    node = NodeCache(str(cache))
    archive = node.open(hash_)
    assert archive is not None
    publish(archive, writable(open_store(f"file://{tmp_path}/store")), node)
    program = f"""
        import lazyimport, os
        lazyimport.install({hash_!r}, store="file://{tmp_path}/store", cache_dir="/proc/none", cache_mode="memory")
        import files, importlib.resources
        print(files.__file__, os.path.exists(files.__file__))
        print((importlib.resources.files(files) / "tool.sh").read_text())
        """

    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )

    path = f"/proc/none/trees/{hash_}/files"
    assert done.stdout == f"{path}/__init__.py False\n#!/bin/sh\n\n"
    assert f"RuntimeWarning: code in files of archive {hash_} will" in done.stderr


@pytest.mark.parametrize("is_split", [False, True], ids=["archive", "and disk"])
def test_resources_of_a_namespace_where_no_file_can_be_made(
    trees: tuple[Path, Path, str], tmp_path: Path, is_split: bool
) -> None:
    """What a directory says, from the archive, and from a directory beside it."""
    folder, cache, hash_ = trees
    node = NodeCache(str(cache))
    archive = node.open(hash_)
    assert archive is not None
    publish(archive, writable(open_store(f"file://{tmp_path}/store")), node)
    more = {"space/more.txt": "more\n", "space/part/more.txt": "inner\n"}
    beside = write_tree(more if is_split else {"other.py": ""}, tmp_path / "beside")
    program = f"""
        import importlib, importlib.resources as r, space, sys, warnings
        warnings.simplefilter("ignore")
        sys.path.append({str(beside)!r}); importlib.invalidate_caches()
        f = r.files("space")
        print(f.name, f.is_dir(), f.is_file(), sorted({{p.name for p in f.iterdir()}} - {{"__pycache__"}}))
        for name in ("data.txt", "more.txt", "part/__init__.py", "none.txt"):
            try: print((f / name).read_text())
            except OSError as e: print(type(e).__name__)
        for wrong in (f.read_bytes, f.open, (f / "part").read_bytes):
            try: print(wrong())
            except OSError as e: print(isinstance(e, (FileNotFoundError, IsADirectoryError)))
        with r.as_file(f / "data.txt") as path: print(open(path).read())
        if hasattr(r, "path"):
            with r.path("space", "data.txt") as path: print(open(path).read())
        if hasattr(r, "read_text"): print(r.read_text("space", "data.txt"))
        import space.part; print(space.part.__name__, sorted({{*r.contents("space")}} - {{"__pycache__"}}) if hasattr(r, "contents") else "")
        """
    install = f"""
        import lazyimport
        lazyimport.install({hash_!r}, store="file://{tmp_path}/store", cache_dir="/proc/none", cache_mode="memory")
        """

    def run(program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    path = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    directory = run(path + dedent(program))
    assert "data\n" in directory.stdout, directory.stderr

    done = run(dedent(install) + dedent(program))

    assert done.stdout == directory.stdout, done.stderr
