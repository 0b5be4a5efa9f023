"""The stock importer as judge over the most used distributions of PyPI.

    python -m benchmarks.sweep                  all of them
    python -m benchmarks.sweep --only numpy     one, may be given again
    python -m benchmarks.sweep --list           their names

Each distribution is installed with what it needs into a folder of its own (with
uv, or pip), the folder is packed, and every module of the distribution is imported
from the folder and from the archive, in fresh processes. Compared are: which
modules can be imported, and the error where not; their names, files, docstrings,
specs, sources, the sources of a few of their functions and classes; which data
files they have, and the bytes; what importlib.metadata says; what pkgutil lists.

Prints a row for each distribution and a line for each difference. Exit code 1 if
there is a difference that is not listed below with its reason.
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
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import NamedTuple

from lazyimport.cache.node import NodeCache
from lazyimport.packing.compile import find_interpreters
from lazyimport.packing.config import Config
from lazyimport.packing.roots import pack_roots
from tests.support.snapshot import differences, modules_of, snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The most downloaded distributions that have modules of their own, and others
#: that do something unusual with files, extensions or the import system.
DISTRIBUTIONS = [
    "aiohttp",
    "anyio",
    "attrs",
    "azure-core",
    "azure-storage-blob",
    "babel",
    "beautifulsoup4",
    "black",
    "boto3",
    "botocore",
    "cachetools",
    "celery",
    "certifi",
    "cffi",
    "charset-normalizer",
    "click",
    "cloudpickle",
    "coverage",
    "cryptography",
    "cython",
    "dask",
    "dill",
    "distributed",
    "django",
    "docutils",
    "duckdb",
    "fastapi",
    "flask",
    "fsspec",
    "gevent",
    "google-api-core",
    "google-cloud-storage",
    "googleapis-common-protos",
    "greenlet",
    "grpcio",
    "httpx",
    "huggingface-hub",
    "hypothesis",
    "idna",
    "importlib-metadata",
    "importlib-resources",
    "ipython",
    "jinja2",
    "jsonschema",
    "jupyter-core",
    "loguru",
    "lxml",
    "markupsafe",
    "matplotlib",
    "more-itertools",
    "msgpack",
    "multidict",
    "mypy",
    "networkx",
    "nltk",
    "numba",
    "numpy",
    "openpyxl",
    "opentelemetry-api",
    "orjson",
    "packaging",
    "pandas",
    "pathspec",
    "pillow",
    "pip",
    "plotly",
    "pluggy",
    "polars",
    "prompt-toolkit",
    "protobuf",
    "psutil",
    "psycopg2-binary",
    "pyarrow",
    "pydantic",
    "pygments",
    "pymongo",
    "pytest",
    "python-dateutil",
    "pytz",
    "pyyaml",
    "redis",
    "regex",
    "requests",
    "rich",
    "s3fs",
    "scikit-learn",
    "scipy",
    "setuptools",
    "shapely",
    "six",
    "smart-open",
    "sphinx",
    "sqlalchemy",
    "starlette",
    "statsmodels",
    "structlog",
    "sympy",
    "tokenizers",
    "tomlkit",
    "tornado",
    "tqdm",
    "traitlets",
    "transformers",
    "trio",
    "typer",
    "typing-extensions",
    "tzdata",
    "urllib3",
    "uvicorn",
    "websockets",
    "werkzeug",
    "wheel",
    "xarray",
    "zope.interface",
    "zstandard",
]

#: (distribution, pattern of the difference) -> why it is right, or not ours
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
    """What the comparison of one distribution gave."""

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
    """Compare the installed *folder* with its archive, as far as *name* goes."""
    start = time.monotonic()
    files = files_of(name, folder)
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


def files_of(name: str, folder: Path) -> list[str]:
    """Return the files that the distribution *name* has in *folder*."""
    wanted = re.sub(r"[-_.]+", "-", name).lower()
    for info in folder.glob("*.dist-info"):
        distribution: Distribution = PathDistribution(info)
        if re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower() == wanted:
            return [str(file) for file in distribution.files or ()]
    raise SystemExit(f"{folder} does not hold the distribution {name}")


def show(name: str, result: Result | str) -> bool:
    """Print a distribution's row and its differences; whether all is well."""
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
    """Compare what is asked for and return the exit code."""
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
