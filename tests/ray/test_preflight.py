"""`lazyimport check` on Serve applications: what the controller could not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("ray")

from tests.support.cluster import write

pytestmark = [pytest.mark.ray, pytest.mark.slow]

if not hasattr(pytest.importorskip("ray.serve.config"), "AutoscalingPolicy"):
    pytest.skip("this Ray knows no policies of others", allow_module_level=True)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "shop/__init__.py": "",
    "shop/limits.py": "MOST = 3\n",
    "shop/alone.py": "def policy(context):\n    return 1, {}\n",
    "shop/leaning.py": (
        "from shop import limits\n\ndef policy(context):\n    return limits.MOST, {}\n"
    ),
    "shop/serve.py": """\
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

def scaled(policy):
    @serve.deployment(
        autoscaling_config=AutoscalingConfig(
            min_replicas=1,
            max_replicas=2,
            policy=AutoscalingPolicy(policy_function=policy),
        )
    )
    class Shop:
        pass

    return Shop.bind()
""",
    # With a proxy as request or settings of a web framework, not bound to anything.
    "shop/good.py": """\
from shop.serve import scaled

class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("working outside of a request")

request = Proxy()
app = scaled('shop.alone:policy')
""",
    "shop/bad.py": (
        "from shop.serve import scaled\napp = scaled('shop.leaning:policy')\n"
    ),
}


def check(folder: Path, entry: str) -> subprocess.CompletedProcess[str]:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lazyimport", *map(str, words)],
            env={"LAZYIMPORT_CACHE_DIR": f"{folder}/cache", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    packed = run("pack", write(FILES, folder / "tree"))
    return run("check", packed.stdout.strip(), entry)


def test_a_policy_that_stands_alone(tmp_path: Path) -> None:
    done = check(tmp_path, "shop.good:app")

    assert 0 == done.returncode, done.stderr
    assert "shop.good:app: fine" in done.stderr


def test_a_policy_that_needs_the_archive(tmp_path: Path) -> None:
    """R3: the controller unpickles it, and has no archive."""
    done = check(tmp_path, "shop.bad:app")

    assert 1 == done.returncode, done.stderr
    assert "the autoscaling policy of Shop runs in Serve's controller" in done.stderr
    assert "No module named 'shop'" in done.stderr
