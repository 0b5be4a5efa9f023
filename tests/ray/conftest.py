"""One Ray for all tests that need one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster


@pytest.fixture(scope="session", name="cluster")
def _cluster() -> Iterator[Cluster]:
    """A Ray that is started when the first test asks for it."""
    pytest.importorskip("ray")
    cluster, folder = _start()
    yield cluster
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _start(attempts: int = 3) -> tuple[Cluster, str]:
    """Start it; a raylet on a busy machine gives up on its agents after seconds."""
    # Not tmp_path: too long for Ray's sockets.
    folder = tempfile.mkdtemp(prefix="lzr-", dir="/tmp")
    try:
        return Cluster(folder), folder
    except AssertionError:
        shutil.rmtree(folder, ignore_errors=True)
        if attempts == 1:
            raise
    return _start(attempts - 1)
