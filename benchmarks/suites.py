"""The test suites of well-known projects, run from a directory and from an archive.

    python -m benchmarks.suites                    all of them
    python -m benchmarks.suites --only networkx    one; repeat it for more
    python -m benchmarks.suites --list             their names

Each project is installed into a folder with everything that its tests need (with uv or
pip), and the folder is packed. Then its tests run twice in an environment that has
pytest and lazyimport: once with the folder on PYTHONPATH, once with LAZYIMPORT_HASH.
Tests that the project does not install come from its sdist, after the copy of the
package in it is removed. pytest finds tests by looking at files, so the files of tests
in the archive, and no others, are written to disk.

Prints a row for each project and a line for each test that ended differently. The exit
code is 1 if such a test is not listed below with a reason.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from benchmarks.sweep import find_distribution, install
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.importing.tree import Tree
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import pack_roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: from the name of a test to passed, failure, skipped or error
Ends = dict[str, str]

#: seconds that one suite may take
TIMEOUT = 1800.0


class Project(NamedTuple):
    """The place of the tests of a distribution, and their needs.

    ``tests`` are arguments of pytest, relative to the sdist without its ``sources``, or
    to the installed folder if there are no ``sources``. ``data`` maps environment
    variables to folders of the sdist. ``django`` are labels for Django's own runner,
    which then runs in place of pytest.
    """

    tests: Sequence[str] = ("tests",)
    sources: Sequence[str] = ()
    needs: Sequence[str] = ()
    options: Sequence[str] = ()
    data: Mapping[str, str] = {}
    django: Sequence[str] = ()


PROJECTS = {
    "attrs": Project(sources=["src"], needs=["cloudpickle", "hypothesis"]),
    "django": Project(
        sources=["django"],
        needs=["jinja2", "pyyaml", "tblib"],
        django=[
            "apps",
            "auth_tests",
            "file_uploads",
            "forms_tests",
            "i18n",
            "migrations",
            "model_forms",
            "queries",
            "staticfiles_tests",
            "template_backends",
            "template_loader",
            "template_tests",
            "utils_tests",
            "validation",
        ],
    ),
    "jinja2": Project(sources=["src"], needs=["trio"]),
    "jsonschema": Project(
        ["jsonschema"],
        needs=["jsonpath-ng", "pip"],
        data={"JSON_SCHEMA_TEST_SUITE": "json"},
    ),
    "more-itertools": Project(sources=["more_itertools"]),
    "networkx": Project(["networkx"]),
    "pluggy": Project(["testing"], ["src"]),
    "sqlparse": Project(sources=["sqlparse"]),
    "sympy": Project(["sympy/core"], options=["-m", "not slow"]),
    "tabulate": Project(["test"], ["tabulate"], needs=["wcwidth", "numpy", "pandas"]),
    "toolz": Project(["toolz"]),
}

#: from project and pattern of the line to the reason why the difference is fine
EXPECTED: dict[tuple[str, str], str] = {
    (
        "django",
        "test_makemessages_no_settings|test_missing_settings_dont_prevent_help",
    ): "starts a child with a PYTHONPATH of its own, which loses the directory",
}


class Result(NamedTuple):
    """The outcome of the tests of one project on both sides."""

    version: str
    directory: Ends
    archive: Ends
    seconds: float


def compare(name: str, project: Project, folder: Path, work: Path) -> Result:
    """Run the tests of *name*, installed in *folder*, on both sides."""
    start = time.monotonic()
    version = find_distribution(name, folder).version
    python = make_environment(work / "environment")
    cache = work / "cache"
    packed = pack_roots(
        [str(folder)], Config(), find_interpreters([]), NodeCache(str(cache))
    )
    inside = NodeCache(str(cache)).tree_path(packed.hash)
    tree = Tree(packed.archive, inside, lambda: Materializer(packed.archive, inside))
    sides = {
        "directory": (folder, {"PYTHONPATH": str(folder)}),
        "archive": (
            Path(tree.root),
            {"LAZYIMPORT_HASH": packed.hash, "LAZYIMPORT_CACHE_DIR": str(cache)},
        ),
    }
    sdist = None
    if project.sources or project.data:
        sdist = download(name, version, work)
    ends = {}
    for side, (site, environ) in sides.items():
        place = work / side
        place.mkdir()
        if sdist is not None:
            unpack(sdist, project.sources, place / "tests")
        if not project.sources and side == "archive":
            show_tests(tree, name)
        root = place / "tests" if project.sources else site
        data = {n: str(place / "tests" / p) for n, p in project.data.items()}
        assert_from(site, name, python, place, environ)
        ends[side] = run(python, project, root, place, {**environ, **data})
    return Result(version, ends["directory"], ends["archive"], time.monotonic() - start)


def make_environment(folder: Path) -> Path:
    """Make an environment with this pytest and lazyimport; return its Python."""
    import pytest

    import lazyimport

    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    os.symlink(Path(lazyimport.__file__).parent, packages / "lazyimport")
    # site reads .pth files in the order of their names, so ours comes last.
    (packages / "a.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    (packages / "lazyimport.pth").write_text(
        "import lazyimport.activation; lazyimport.activation.start()\n"
    )
    return folder / "bin" / "python"


def download(name: str, version: str, work: Path) -> Path:
    """Return the sdist of the distribution *name*."""
    uv = shutil.which("uv")
    pip = [uv, "tool", "run"] if uv else [sys.executable, "-m"]
    pip += ["pip", "download", "--quiet", "--no-deps", "--no-binary", name]
    folder = work / "sdist"
    subprocess.run([*pip, "--dest", str(folder), f"{name}=={version}"], check=True)
    (path,) = folder.iterdir()
    return path


def unpack(sdist: Path, sources: Sequence[str], folder: Path) -> None:
    """Unpack *sdist* as *folder*, without the *sources* under test."""
    above = folder.with_name("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(above, filter="data")
    (inner,) = above.iterdir()
    inner.rename(folder)
    for source in sources:
        shutil.rmtree(folder / source, ignore_errors=True)


def show_tests(tree: Tree, name: str) -> None:
    """Write those files of the archive to disk in which pytest looks for tests."""
    for entry in tree.archive.files_under(name):
        if re.search(r"(^|/)(tests/.*|conftest|__init__|test_\w+)\.py$", entry.path):
            tree.put(entry)


def assert_from(
    site: Path, name: str, python: Path, place: Path, environ: Mapping[str, str]
) -> None:
    """Raise RuntimeError unless *name* comes from *site*."""
    program = (
        "import importlib.metadata as m, sys; "
        "print(m.distribution(sys.argv[1]).locate_file(''))"
    )
    seen = subprocess.run(
        [str(python), "-c", program, name],
        cwd=place,
        env=_clean_environ(environ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    if Path(seen) != site:
        raise RuntimeError(f"{name} comes from {seen}, not from {site}")


def run(
    python: Path,
    project: Project,
    root: Path,
    place: Path,
    environ: Mapping[str, str],
) -> Ends:
    """Run the tests below *root* and return the outcome of each."""
    report = place / "report.xml"
    if project.django:
        command = ["runtests.py", "-v", "2", "--parallel", "1", *project.django]
        root /= "tests"
    else:
        command = ["-m", "pytest", "--quiet", "--rootdir", str(root), "--tb=short"]
        command += ["--override-ini", "addopts=", f"--junitxml={report}"]
        command += ["--override-ini", "junit_family=xunit2", "-p", "no:cacheprovider"]
        command += [*project.options, *project.tests]
    log = place / "log"
    with open(log, "w", encoding="utf-8") as out:
        done = subprocess.run(
            [str(python), *command],
            cwd=root,
            env=_clean_environ(environ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    ends = _django_ends(text) if project.django else _pytest_ends(report)
    if not ends:
        raise RuntimeError(f"exit code {done.returncode}:\n{text[-2000:]}")
    return ends


def _clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    without = ("LAZYIMPORT_", "PYTHONPATH", "PYTHONSAFEPATH")
    clean = {n: v for n, v in os.environ.items() if not n.startswith(without)}
    return {
        **clean,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **environ,
    }


def _pytest_ends(report: Path) -> Ends:
    ends = {}
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            kinds = [child.tag for child in case]
            end = next(
                (k for k in ("error", "failure", "skipped") if k in kinds), "passed"
            )
            name = f"{case.get('classname')}::{case.get('name')}"
            ends[re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", name)] = end
    return ends


def _django_ends(text: str) -> Ends:
    found = re.findall(
        # The first line of its docstring may follow the name.
        r"^(\w+ \([\w.]+\))(?:\n(?!\w+ \().*?)?.*? \.\.\. "
        r"(ok|FAIL|ERROR|skipped|expected failure)",
        text,
        re.MULTILINE,
    )
    words = {"ok": "passed", "FAIL": "failure", "ERROR": "error"}
    ends = {name: words.get(end, "skipped") for name, end in found}
    (ran,) = re.findall(r"^Ran (\d+) tests", text, re.MULTILINE)
    if len(ends) != int(ran):
        raise RuntimeError(f"{ran} tests ran, and {len(ends)} were read in the log")
    return ends


def differences(name: str, result: Result) -> tuple[list[str], list[str]]:
    """Return a line for each test that ended differently: unexpected, and expected."""
    unexpected, expected = [], []
    for test in sorted({*result.directory, *result.archive}):
        sides = [ends.get(test, "missing") for ends in result[1:3]]
        if sides[0] == sides[1]:
            continue
        line = f"{test}: directory {sides[0]}, archive {sides[1]}"
        for (who, pattern), why in EXPECTED.items():
            if who == name and re.search(pattern, line):
                expected.append(f"{line}\n      {why}")
                break
        else:
            unexpected.append(line)
    return unexpected, expected


def show(name: str, result: Result) -> bool:
    """Print the row and differences of a project; return if all are expected."""
    unexpected, expected = differences(name, result)
    counts = [Counter(ends.values()) for ends in result[1:3]]
    cells = [
        f"{c['passed']:,} / {c['failure'] + c['error']:,} / {c['skipped']:,}"
        for c in counts
    ]
    print(
        f"| {name} {result.version} | {cells[0]} | {cells[1]} "
        f"| {len(unexpected) + len(expected)} | {result.seconds:.0f} |",
        flush=True,
    )
    for line in unexpected:
        print(f"    {line[:600]}", flush=True)
    for line in expected:
        print(f"    (expected) {line[:600]}", flush=True)
    return not unexpected


def main(arguments: Iterable[str] | None = None) -> int:
    """Compare the requested projects and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="NAME", choices=PROJECTS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--installed", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for logs")
    options = parser.parse_args(arguments and list(arguments))
    if options.list:
        print(*PROJECTS, sep="\n")
        return 0
    well = True
    print(f"Python {platform.python_version()}, passed / failed / skipped")
    print("\n| project | directory | archive | differ | seconds |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="suites-") as temporary:
        installed = (options.installed or Path(temporary, "installed")).resolve()
        os.makedirs(installed, exist_ok=True)
        for name in options.only or PROJECTS:
            project = PROJECTS[name]
            work = Path(options.keep or temporary, name).resolve()
            work.mkdir(parents=True)
            try:
                install([name, *project.needs], installed / name)
                result = compare(name, project, installed / name, work)
            except Exception as error:  # noqa: BLE001 - the next one may be fine
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                well = False
            else:
                well = show(name, result) and well
            if not options.keep:
                shutil.rmtree(work)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
