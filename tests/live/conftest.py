"""Programs that run in a live process, with several versions of a tree to swap to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from lazyimport.cache.node import NodeCache
from tests.support.compare_importers import Files
from tests.support.trees import make_archive

#: What programs begin with: ``to(1)`` swaps to the second version, and is to work.
START = """
import asyncio, gc, importlib, os, sys, threading, time, weakref
import lazyimport
from lazyimport.live import current_generation, swap
from lazyimport.live.state import live_state
HASHES = sys.argv[1:]
def to(number, state='swapped', **options):
    done = swap(HASHES[number], **options)
    assert done.state == state, done
    return done
"""
#: runs a program with versions of a tree; returns what it printed, in lines
Run = Callable[..., list[str]]


def put(cache: NodeCache, files: Files) -> str:
    """Put the archive of *files* into *cache*; return its hash."""
    data, name = make_archive(
        {
            path: text if isinstance(text, bytes) else dedent(text)
            for path, text in files.items()
        }
    )
    if cache.open(name) is None:
        cache.publish(name, lambda out: out.write(data))
    return name


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program in a live process that begins with the first of the versions."""

    def run(program: str, *versions: Files, **environ: str) -> list[str]:
        cache = NodeCache(str(tmp_path / "cache"))
        hashes = [put(cache, files) for files in versions]
        done = subprocess.run(
            [sys.executable, "-c", START + dedent(program), *hashes],
            env={
                **os.environ,
                "LAZYIMPORT_HASH": hashes[0],
                "LAZYIMPORT_CACHE_DIR": cache.path,
                "LAZYIMPORT_LIVE": "1",
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run
