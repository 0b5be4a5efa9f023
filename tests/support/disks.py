"""Disks that refuse: full, read-only, another user's."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LIMITED", "NOBODY", "as_nobody", "mounted", "need_root"]

NOBODY = 65534
#: What begins a command in which permissions hold, for root too.
LIMITED = (
    ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]
    if os.geteuid() == 0
    else []
)


def need_root() -> None:
    """Skip a test that only root can do."""
    if os.geteuid() != 0:
        pytest.skip("only root can do this")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's exemption from permissions, for this process and a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a tmpfs with *options* at *folder*; skip where that is not allowed."""
    need_root()
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
