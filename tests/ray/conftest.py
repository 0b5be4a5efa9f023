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
    # Not tmp_path: too long for Ray's sockets.
    folder = tempfile.mkdtemp(prefix="lzr-", dir="/tmp")
    cluster = Cluster(folder)
    yield cluster
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)
