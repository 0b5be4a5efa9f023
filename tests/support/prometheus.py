"""A real Prometheus on this machine, and what examples/monitoring asks it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
PROGRAM, CHECKER = shutil.which("prometheus"), shutil.which("promtool")
_SECONDS = 60


def expressions() -> dict[str, str]:
    """Return what the dashboard and the alerts ask for, by a name for each."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
    found = {
        f"panel {panel['id']}{target['refId']}": target["expr"].replace("$hash", ".*")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    alerts = (MONITORING / "alerts.yaml").read_text("utf-8")
    for name, text in re.findall(
        r"- alert: (\w+)\n +expr: \|\n((?: {10,}.*\n)+)", alerts
    ):
        found[name] = " ".join(text.split())
    return found


class Prometheus:
    """One that finds its targets at *discovery* (a URL); a context manager."""

    def __init__(self, folder: Path, discovery: str) -> None:
        assert PROGRAM is not None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        config = (MONITORING / "prometheus.yaml").read_text("utf-8")
        often = "scrape_interval: 1s, evaluation_interval: 1s"
        config = re.sub(r"scrape_interval: \w+", often, config)
        config = re.sub(
            r"http://\S+", f"{discovery}\n        refresh_interval: 1s", config
        )
        folder.mkdir(exist_ok=True)
        (folder / "prometheus.yaml").write_text(config)
        shutil.copy(MONITORING / "alerts.yaml", folder)
        self._process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={self._address}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)

    def query(self, expression: str) -> list[Any]:
        """Return the series that *expression* gives now; it must be one."""
        query = urllib.parse.urlencode({"query": expression})
        answer = self._ask(f"/api/v1/query?{query}")
        result: list[Any] = answer["data"]["result"]
        return result

    def wait_for(self, expression: str) -> list[Any]:
        """Return what *expression* gives as soon as that is anything."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                if found := self.query(expression):
                    return found
            except OSError:
                pass  # it has not started yet
            assert time.monotonic() < deadline, expression
            time.sleep(0.2)

    def rules(self) -> list[Any]:
        """Return the rules, with their health, once it has evaluated them."""
        deadline = time.monotonic() + _SECONDS
        while True:
            groups = self._ask("/api/v1/rules")["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            if all(rule["health"] != "unknown" for rule in rules):
                return rules
            assert time.monotonic() < deadline, rules
            time.sleep(0.2)

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=30) as it:
            return json.load(it)
