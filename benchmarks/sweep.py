"""The most used distributions of PyPI, imported from directories and from archives.

    python -m benchmarks.sweep                  all of them
    python -m benchmarks.sweep --only numpy     one; repeat it for more
    python -m benchmarks.sweep --list           their names

Each distribution is installed with its dependencies into a folder of its own (with uv
or pip), the folder is packed, and every module of the distribution is imported from the
folder and from the archive, in fresh processes. The comparison covers: the modules that
can be imported, and the errors of the others; their names, files, docstrings, specs,
sources, and the sources of a few functions and classes; the data files with their
bytes; the answers of importlib.metadata; the lists of pkgutil.

Prints a row for each distribution and a line for each difference. The exit code is 1 if
a difference is not listed below with a reason.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import Distribution
from pathlib import Path
from typing import NamedTuple

from lazyimport.cache.node import NodeCache
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import pack_roots
from tests.support.snapshot import differences, modules_of, snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The most downloaded distributions that have modules of their own, and some that do
#: something unusual with files, extensions, or the import system.
DISTRIBUTIONS = """
    aiohttp anyio attrs azure-core azure-storage-blob babel beautifulsoup4 black boto3
    botocore cachetools celery certifi cffi charset-normalizer click cloudpickle
    coverage cryptography cython dask dill distributed django docutils duckdb fastapi
    flask fsspec gevent google-api-core google-cloud-storage googleapis-common-protos
    greenlet grpcio httpx huggingface-hub hypothesis idna importlib-metadata
    importlib-resources ipython jinja2 jsonschema jupyter-core loguru lxml markupsafe
    matplotlib more-itertools msgpack multidict mypy networkx nltk numba numpy openpyxl
    opentelemetry-api orjson packaging pandas pathspec pillow pip plotly pluggy polars
    prompt-toolkit protobuf psutil psycopg2-binary pyarrow pydantic pygments pymongo
    pytest python-dateutil pytz pyyaml redis regex requests rich s3fs scikit-learn scipy
    setuptools shapely six smart-open sphinx sqlalchemy starlette statsmodels structlog
    sympy tokenizers tomlkit tornado tqdm traitlets transformers trio typer
    typing-extensions tzdata urllib3 uvicorn websockets werkzeug wheel xarray
    zope.interface zstandard
""".split()  # noqa: SIM905 - a list would take a line for each

#: from distribution and pattern of the line to the reason why the difference is fine
EXPECTED: dict[tuple[str, str], str] = {
    (
        "black",
        "blackd.*aiohttp dependency is not installed",
    ): "its message quotes ours, which says more (deviation 8)",
    (
        "gevent",
        "test__monkey_sigchld.*Failed to wait on a child pid",
    ): "its message names process ids",
}


class Result(NamedTuple):
    """The result of comparing one distribution."""

    modules: int
    imported: int
    files: int
    unexpected: list[str]
    expected: list[str]
    seconds: float


def install(requirements: Sequence[str], folder: Path) -> None:
    """Install *requirements* with their dependencies into *folder*."""
    if folder.exists():
        return
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    uv = shutil.which("uv")
    command = (
        [uv, "pip", "install", "--quiet", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    )
    subprocess.run([*command, "--target", str(unfinished), *requirements], check=True)
    unfinished.rename(folder)


def compare(name: str, folder: Path, work: Path) -> Result:
    """Compare the distribution *name* in *folder* with the same in an archive of it."""
    start = time.monotonic()
    files = [str(file) for file in find_distribution(name, folder).files or ()]
    modules = modules_of(folder, files)
    cache = work / "cache"
    packed = pack_roots(
        [str(folder)], Config(), find_interpreters([]), NodeCache(str(cache))
    )
    out = work / "out"
    directory = snapshot(folder, modules, out=out)
    archive = snapshot(folder, modules, hash=packed.hash, cache=cache, out=out)
    expected, unexpected = [], []
    for line in differences(directory, archive):
        reason = next(
            (
                why
                for (who, pattern), why in EXPECTED.items()
                if who in {name, "*"} and re.search(pattern, line)
            ),
            None,
        )
        if reason:
            expected.append(f"{line}\n      {reason}")
        else:
            unexpected.append(line)
    return Result(
        len(modules),
        sum(
            "error" not in seen and "crash" not in seen
            for seen in archive["modules"].values()
        ),
        len(files),
        unexpected,
        expected,
        time.monotonic() - start,
    )


def find_distribution(name: str, folder: Path) -> Distribution:
    """Return the distribution *name* that is installed in *folder*."""
    for found in Distribution.discover(name=name, path=[str(folder)]):
        return found
    raise SystemExit(f"{folder} does not contain the distribution {name}")


def show(name: str, result: Result | str) -> bool:
    """Print the row and differences of a distribution; return if all are expected."""
    if isinstance(result, str):
        print(f"{name:26} {result}", flush=True)
        return False
    verdict = "same" if not result.unexpected else f"{len(result.unexpected)} differ"
    print(
        f"{name:26} {result.modules:7,} {result.imported:8,} {result.files:7,} "
        f"{result.seconds:7.1f}  {verdict}",
        flush=True,
    )
    for line in result.unexpected:
        print(f"    {line[:600]}", flush=True)
    for line in result.expected:
        print(f"    (expected) {line[:300]}", flush=True)
    return not result.unexpected


def main(arguments: Iterable[str] | None = None) -> int:
    """Compare the requested distributions and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--installed", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments and list(arguments))
    if options.list:
        print(*DISTRIBUTIONS, sep="\n")
        return 0
    well = True
    print(f"Python {platform.python_version()}, {sys.platform} {platform.machine()}")
    print(f"{'distribution':26} modules imported   files seconds")
    with tempfile.TemporaryDirectory(prefix="sweep-") as temporary:
        installed = options.installed or Path(temporary, "installed")
        os.makedirs(installed, exist_ok=True)
        for name in options.only or DISTRIBUTIONS:
            work = Path(temporary, name)
            work.mkdir()
            try:
                install([name], installed / name)
                result: Result | str = compare(name, installed / name, work)
            except Exception as error:  # noqa: BLE001 - the next one may be fine
                result = f"{type(error).__name__}: {error}"
            well = show(name, result) and well
            shutil.rmtree(work)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
