"""``lazyimport pack``."""

from __future__ import annotations

import os
import tempfile
import time

from lazyimport.cache.node import NodeCache
from lazyimport.cli.artifacts import pack_artifact
from lazyimport.cli.options import UsageError, read_settings, with_options
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import amount, python_of, size
from lazyimport.delivery.artifact import is_artifact

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lazyimport.format.archive import Archive
    from lazyimport.packing.compile import Interpreter
    from lazyimport.packing.packer import Packed
    from lazyimport.settings import Settings

__all__ = ["pack_roots", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Pack, write the file if one is asked for, print the hash."""
    notes = Notes(quiet=arguments.quiet)
    settings = read_settings(arguments)
    packed = pack_roots(arguments.roots, arguments, settings, notes)
    if arguments.output:
        path = os.path.abspath(arguments.output)
        notes.say(f"wrote {path}, {size(_write(packed.archive, path, notes))}")
    print(packed.hash)
    return 0


def pack_roots(
    roots: Sequence[str],
    arguments: argparse.Namespace,
    settings: Settings,
    notes: Notes,
    *,
    whole: bool = True,
) -> Packed:
    """Pack *roots*, or the one artifact in their place, and tell about it.

    *whole* as for `pack`.
    """
    started = time.perf_counter()
    cache = NodeCache(settings.cache_dir)
    artifact = next(filter(is_artifact, roots), None)
    if artifact is None:
        packed = _pack_trees(roots, arguments, cache, notes, whole=whole)
    elif len(roots) > 1 or arguments.installed or arguments.requirements:
        raise UsageError(
            f"{artifact} is packed alone: without other roots, --with or --requirements"
        )
    else:
        packed = pack_artifact(artifact, arguments, settings, cache, notes)
    for warning in packed.warnings:
        notes.warn(warning)
    notes.say(_summary(packed, time.perf_counter() - started))
    return packed


def _pack_trees(
    roots: Sequence[str],
    arguments: argparse.Namespace,
    cache: NodeCache,
    notes: Notes,
    *,
    whole: bool,
) -> Packed:
    from lazyimport.packing.compile import find_interpreters
    from lazyimport.packing.config import read_config
    from lazyimport.packing.packer import pack

    roots = roots or ["."]
    first = roots[0] if os.path.isdir(roots[0]) else os.path.dirname(roots[0])
    config = with_options(read_config(first or "."), arguments)
    interpreters = find_interpreters(config.python)
    with tempfile.TemporaryDirectory(prefix="lazyimport-") as folder:
        _stage(arguments, interpreters, folder, notes)
        try:
            return pack(
                roots,
                config,
                interpreters,
                cache,
                staged=[folder] if os.listdir(folder) else [],
                jobs=arguments.jobs or None,
                progress=notes.progress,
                trust_stat=not arguments.no_stat_cache,
                whole=whole,
            )
        finally:
            notes.clear()


def _stage(
    arguments: argparse.Namespace,
    interpreters: Sequence[Interpreter],
    folder: str,
    notes: Notes,
) -> None:
    """Bring the distributions that the options ask for into *folder*."""
    from lazyimport.packing.distributions import stage_installed, stage_resolved

    stage_installed(arguments.installed, folder)
    resolve: list[str] = []
    for file in arguments.requirements:
        resolve += ["-r", os.path.abspath(file)]
    if resolve:
        notes.say(f"resolving {', '.join(arguments.requirements)}")
        stage_resolved(resolve, interpreters, folder, platform=arguments.platform)
    if arguments.wheel:
        wheels = [os.path.abspath(wheel) for wheel in arguments.wheel]
        stage_resolved(
            ["--no-deps", *wheels], interpreters, folder, platform=arguments.platform
        )


def _summary(packed: Packed, seconds: float) -> str:
    variants = packed.revision.index.variants
    pythons = ", ".join(python_of(variant) for variant in variants)
    return (
        f"packed {amount(packed.modules, 'module')} in {amount(packed.files, 'file')}, "
        f"{size(packed.size)}, for Python {pythons}: {packed.compiled:,} compiled, "
        f"{packed.reused:,} reused, in {seconds:.1f} s"
    )


def _write(archive: Archive, path: str, notes: Notes) -> int:
    from lazyimport.files import AtomicFile
    from lazyimport.format.writer import recode

    notes.wait(f"compressing into {path}")
    try:
        with AtomicFile(path) as file:
            return recode(archive, file, raw=False).size
    except OSError as error:
        error.filename = path  # not the temporary file, which is gone
        raise
    finally:
        notes.clear()
