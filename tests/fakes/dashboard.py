"""Ray's dashboard as a local server: applications, actors and jobs are what it is told.

It can run a job when it is asked for the third time, as one that has just started.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Dashboard"]


class Dashboard(ThreadingHTTPServer):
    """A dashboard at ``address``, while it is entered.

    ``serve``, ``actors`` and ``jobs`` are what it answers with, ``logs`` what the one
    job prints that it runs, ``installs`` what workers wrote into lazyimport.log, on
    every node, unless these are ``mute``. ``applied`` are the configs that it was
    given, and ``asked`` the paths of all requests; ``tokens`` came with the configs.
    ``metrics`` is what the one node exports, if anything. If there is a ``page``, that
    answers every question, as a proxy does that asks who somebody is.
    ``begun`` are the names of jobs; where it ``loses_answers``, nobody is told of them.
    ``meanwhile`` is called when a job is submitted, ``then`` with each config.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.serve: dict[str, Any] = {"applications": {}}
        self.actors: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []
        self.logs = "prefetched to 1 of 1 nodes\n"
        self.status = "SUCCEEDED"
        self.installs = ""
        self.mute = False
        self.metrics = ""
        self.page = ""
        self.meanwhile: Callable[[], object] = lambda: None
        self.then: Callable[[Any], object] = lambda _: None
        self.submitted = 0
        self.commands: list[str] = []
        self.begun: list[str] = []
        self.loses_answers = False
        self.applied: list[Any] = []
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self._thread = threading.Thread(target=self.serve_forever)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Dashboard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answers(BaseHTTPRequestHandler):
    server: Dashboard

    def do_POST(self) -> None:
        job = self._read()
        self.server.submitted += 1
        self.server.meanwhile()
        if self.server.submitted < 3:
            self.send_error(500, "No available agent to submit job")
        elif job["submission_id"] in self.server.begun:
            self.send_error(500, "Job with this submission_id already exists")
        else:
            self.server.commands.append(job["entrypoint"])
            self.server.begun.append(job["submission_id"])
            if not self.server.loses_answers:
                self._send({"submission_id": job["submission_id"]})

    def do_PUT(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        self.server.applied.append(self._read())
        self.server.then(self.server.applied[-1])
        self._send(None)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.page:
            self._write(self.server.page.encode())
        else:
            self._answer(self.path.partition("?")[0])

    def _answer(self, path: str) -> None:
        answers: dict[str, object] = {
            "/api/serve/applications/": self.server.serve,
            "/api/v0/actors": {"data": {"result": {"result": self.server.actors}}},
            "/api/jobs/": self.server.jobs,
        }
        for name in self.server.begun:
            answers[f"/api/jobs/{name}"] = {"status": self.server.status}
            answers[f"/api/jobs/{name}/logs"] = {"logs": self.server.logs}
        if path.startswith("/api/v0/logs") and self.server.mute:
            self.send_error(500, "Agent for node id: 0123 doesn't exist.")
        elif path.startswith("/api/serve") and "error" in self.server.serve:
            self.send_error(self.server.serve["error"])
        elif path in answers:
            self._send(answers[path])
        elif path == "/api/prometheus/sd" and self.server.metrics:
            target = self.server.address.removeprefix("http://")
            self._send([{"labels": {"job": "ray"}, "targets": [target]}])
        elif path == "/metrics" and self.server.metrics:
            self._write(self.server.metrics.encode())
        elif path == "/api/v0/logs":
            names = ["lazyimport.log"] if self.server.installs else []
            self._send({"data": {"result": {"internal": names} if names else {}}})
        elif path == "/api/v0/logs/file" and self.server.installs:
            self._write(self.server.installs.encode())
        elif path == "/api/v0/logs/file":  # as Ray says that there is no such file
            self.send_error(500, "A file is not found at: lazyimport.log")
        else:
            self.send_error(404, "no such thing")

    def _read(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _send(self, value: object) -> None:
        self._write(b"" if value is None else json.dumps(value).encode())

    def _write(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
