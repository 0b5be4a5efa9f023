"""The dashboard and the alert rules ask for what the code exports, and fire.

tests/ray/test_metrics.py puts them into a Prometheus that scrapes a real Ray.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

import lazyimport
from tests.support.prometheus import CHECKER, MONITORING, expressions

pytestmark = pytest.mark.skipif(
    not MONITORING.exists(), reason="the tests run without the examples"
)
checked = pytest.mark.skipif(CHECKER is None, reason="no promtool here")


def exported() -> set[str]:
    """Return the names of our metrics as Ray gives them to Prometheus."""
    code = Path(lazyimport.__file__).with_name("ray") / "metrics.py"
    text = code.read_text("utf-8")
    counters = re.findall(r'\b_count\(\s*"(\w+)"', text)
    histograms = re.findall(r'Histogram\(\s*"lazyimport_(\w+)"', text)
    gauges = re.findall(r'Gauge\(\s*"lazyimport_(\w+)"', text)
    names = {f"ray_lazyimport_{name}_total" for name in counters}
    names |= {f"ray_lazyimport_{name}" for name in gauges}
    for name in histograms:
        names |= {
            f"ray_lazyimport_{name}_{part}" for part in ("bucket", "sum", "count")
        }
    return names


def test_every_metric_is_exported() -> None:
    asked = set(re.findall(r"ray_lazyimport_\w+", "\n".join(expressions().values())))
    files = "\n".join(path.read_text("utf-8") for path in MONITORING.iterdir())

    assert len(exported()) > 8
    assert asked == set(re.findall(r"ray_lazyimport_\w+", files))
    assert asked <= exported()


def promtool(*words: object) -> None:
    done = subprocess.run(
        [str(CHECKER), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


@checked
def test_every_expression_is_one(tmp_path: Path) -> None:
    rules = [
        {"record": f"r{n}", "expr": e} for n, e in enumerate(expressions().values())
    ]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    promtool("check", "rules", file, MONITORING / "alerts.yaml")
    promtool("check", "config", MONITORING / "prometheus.yaml")


@checked
def test_alerts(tmp_path: Path) -> None:
    """An old failure is none; a new one is, also of a hash that never failed before."""

    def series(name: str, hash: str, values: str, **labels: str) -> dict[str, str]:
        tags = ",".join(f'{k}="{v}"' for k, v in {"hash": hash, **labels}.items())
        return {"series": f"ray_lazyimport_{name}{{{tags}}}", "values": values}

    def firing(alert: str, minute: int, *hashes: str) -> dict[str, object]:
        severity = "critical" if alert.endswith("Missing") else "warning"
        labels = [{"hash": hash, "severity": severity} for hash in hashes]
        return {
            "alertname": alert,
            "eval_time": f"{minute}m",
            "exp_alerts": [{"exp_labels": each} for each in labels],
        }

    ones = " ".join(["1"] * 60)
    late = f"{'_ ' * 20}1x39"
    inputs = [
        series("failures_total", "old", ones, WorkerId="1"),
        series("failures_total", "new", late, WorkerId="2"),
        series("failures_total", "old", late, WorkerId="3"),
        *(series("fetches_total", "a", ones, WorkerId=str(n)) for n in range(3)),
        *(series("fetches_total", "b", ones, WorkerId=str(n)) for n in range(2)),
        *({"series": f'ray_node_mem_total{{ip="{n}"}}', "values": ones} for n in "12"),
        series("install_seconds_bucket", "slow", ones, le="60"),
        series("install_seconds_bucket", "slow", ones.replace("1", "9"), le="300"),
        series("install_seconds_bucket", "slow", ones.replace("1", "9"), le="+Inf"),
    ]
    expected = [
        firing("LazyimportArchiveMissing", 10),
        firing("LazyimportArchiveMissing", 22, "new", "old"),
        firing("LazyimportArchiveMissing", 40),
        firing("LazyimportFetchedTwice", 30, "a"),
        firing("LazyimportStartsSlowly", 30, "slow"),
    ]
    file = tmp_path / "test.json"
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": expected}
    # What people read is not repeated here.
    rules = re.sub(
        r" +annotations:\n(?: {10,}.*\n)+",
        "",
        (MONITORING / "alerts.yaml").read_text("utf-8"),
    )
    (tmp_path / "alerts.yaml").write_text(rules)
    file.write_text(json.dumps({"rule_files": ["alerts.yaml"], "tests": [test]}))

    promtool("test", "rules", file)
