"""Jobs of ours in a real cluster: what nodes say of themselves, and what they lack."""

from __future__ import annotations

import sys
from functools import partial

import pytest

pytest.importorskip("ray")

from lazyimport.deploy.cluster import Cluster as RayCluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.own_jobs import run_own

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def test_each_node_says_what_it_has(cluster: Cluster) -> None:
    ray = RayCluster(cluster.dashboard)
    (python,) = ray.pythons(300)
    found = {each.tried: each for each in ray.examine(None, None, 300)}

    assert sys.version_info.minor == python.minor
    assert python.where.endswith(found["this Python"].where)
    assert sys.executable in found["this Python"].found
    assert cluster.cache in found["node cache"].found
    assert "ArchivePlugin is in RAY_RUNTIME_ENV_PLUGINS" in found["Ray's plugin"].found


def test_a_job_that_is_younger_than_the_cluster(cluster: Cluster) -> None:
    ray = RayCluster(cluster.dashboard)
    with pytest.raises(DeployError, match="has an older lazyimport, without lazyimp"):
        list(run_own(partial(ray.run, timeout=300), "lazyimport.ray.younger_job"))
