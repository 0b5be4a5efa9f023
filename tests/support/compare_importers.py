"""The stock importer as the judge: run one program on a directory and on an archive.

Both have the same files. The program must print the same, write the same errors, and
end with the same exit code, once either root is replaced by ``ROOT``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lazyimport.cache.node import NodeCache
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import pack_roots

Files = Mapping[str, str | bytes]


class Outcome(NamedTuple):
    """What a child process printed, and its exit code."""

    stdout: str
    stderr: str
    status: int


def told(error: BaseException) -> str:
    """Return what a traceback says of *error*, with its notes."""
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def write_tree(files: Files, folder: Path) -> Path:
    """Write *files*, a mapping of paths to contents, below *folder* and return it."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pack_tree(folder: Path, cache: Path, config: Config | None = None) -> str:
    """Pack *folder* for the running Python into *cache* and return the hash."""
    packed = pack_roots(
        [str(folder)], config or Config(), find_interpreters([]), NodeCache(str(cache))
    )
    return packed.hash


def from_directory(
    folder: Path,
    program: str,
    flags: Sequence[str] = (),
    *,
    alone: bool = False,
    **environ: str,
) -> Outcome:
    """Run *program* with *folder* on ``sys.path``, where site-packages would be.

    With *alone*, nothing that is installed in this environment can be imported.
    """
    if alone:
        flags, environ = ["-S", *flags], {"PYTHONPATH": "", **environ}
    start = f"import sys; sys.path.append({str(folder)!r})"
    return _run(start, program, flags, [str(folder)], environ)


def from_archive(
    hash: str,
    cache: Path,
    program: str,
    flags: Sequence[str] = (),
    *,
    alone: bool = False,
    **environ: str,
) -> Outcome:
    """Run *program* with the archive *hash* installed.

    With *alone*, nothing that is installed in this environment can be imported.
    """
    start = f"import lazyimport; lazyimport.install({hash!r}, cache_dir={str(cache)!r})"
    if alone:
        import lazyimport

        ours = str(Path(lazyimport.__file__).parents[1])
        start = (
            f"import sys; sys.path.append({ours!r}); {start}; sys.path.remove({ours!r})"
        )
        flags, environ = ["-S", *flags], {"PYTHONPATH": "", **environ}
    root = NodeCache(str(cache)).tree_path(hash)
    real = os.path.realpath(root)  # pkg_resources tells where links lead
    return _run(start, program, flags, [root, real, str(cache)], environ)


def _run(
    start: str,
    program: str,
    flags: Sequence[str],
    roots: Sequence[str],
    environ: Mapping[str, str],
) -> Outcome:
    # Either start is one line, so that line numbers are the same.
    done = subprocess.run(
        [sys.executable, *flags, "-c", f"{start}\n{program}"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**_clean_environ(), **environ},
        check=False,
    )
    return Outcome(
        _normal(done.stdout, roots), _normal(done.stderr, roots), done.returncode
    )


def _clean_environ() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LAZYIMPORT_")
    } | {"PYTHONDONTWRITEBYTECODE": "", "NO_COLOR": "1", "PYTHON_COLORS": "0"}


def _normal(text: str, roots: Sequence[str]) -> str:
    for root in roots:
        text = text.replace(root, "ROOT")
    return re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", text)
