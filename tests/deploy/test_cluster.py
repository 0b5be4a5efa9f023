"""A cluster, asked through its dashboard."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from tests.fakes.dashboard import Dashboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

A = "a1" * 32


@pytest.fixture(name="dashboard")
def _dashboard() -> Iterator[Dashboard]:
    with Dashboard() as dashboard:
        dashboard.submitted = 2  # its agent is there
        yield dashboard


def test_a_host_and_port_are_an_address() -> None:
    assert "http://127.0.0.1:8265" == Cluster("127.0.0.1:8265/").address


@pytest.mark.parametrize(
    "address",
    [
        "ray://127.0.0.1:10001",
        "file:///etc/passwd",
        "http://me:hid/den@127.0.0.1:8265",
        "http://me:hid?den@127.0.0.1:8265",
        "http://127.0.0.1:8265/?token=hidden",
        "http://[127.0.0.1:8265",
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(DeployError, match=r"is no address of Ray's dashboard") as info:
        Cluster(address)
    assert not info.value.retryable
    assert "hid" not in str(info.value)


def test_user_and_password_are_sent_and_never_shown(dashboard: Dashboard) -> None:
    """As to a proxy in front of the dashboard."""
    address = dashboard.address.replace("//", "//me:hid%40den@")
    cluster = Cluster(address)
    cluster.apply({})
    Cluster(address, "secret").apply({})

    assert dashboard.address == cluster.address
    assert ["Basic bWU6aGlkQGRlbg==", "Bearer secret"] == dashboard.tokens


def test_the_token_goes_with_every_question(dashboard: Dashboard) -> None:
    Cluster(dashboard.address, "secret").apply({})
    Cluster(dashboard.address).apply({})

    assert ["Bearer secret", None] == dashboard.tokens


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "null",
        '{"applications": 5}',
        '{"applications": {"a": 5}, "data": {"result": {"result": 7}}}',
        '{"applications": {"a": {}}, "data": {"result": {"result": [{}]}}}',
        '{"data": {"result": {"result": [[]]}}}',
        "[" * 100_000,
    ],
    ids=range(7),
)
def test_answers_of_another_form(answer: str) -> None:
    """Another service may answer there, or another version of Ray."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        cluster = Cluster(f"127.0.0.1:{server.server_port}")
        for ask in (cluster.processes, lambda: list(cluster.run("true", 5))):
            with pytest.raises(DeployError, match=r"another form|is not Ray's") as info:
                ask()
            assert cluster.address in str(info.value)
        server.shutdown()


def test_no_proxy_leads_to_this_machine(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As to the port that kubectl forwards."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)

    assert {} == Cluster(dashboard.address).served()


def test_the_token_does_not_follow_a_redirect() -> None:
    tokens = []

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers["Authorization"])
            self.send_response(302 if len(tokens) == 1 else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirects) as server:
        Thread(target=server.serve_forever).start()
        cluster = Cluster(f"127.0.0.1:{server.server_port}", "secret")
        with suppress(DeployError):  # the answer is empty
            cluster.serving()
        server.shutdown()

    assert ["Bearer secret", None] == tokens


def test_nobody_there_may_be_there_later() -> None:
    with pytest.raises(DeployError, match=r"cannot reach .* 8265, not that of") as info:
        Cluster("127.0.0.1:9").served()
    assert info.value.retryable


def test_a_page_to_log_in_is_not_the_dashboard(dashboard: Dashboard) -> None:
    dashboard.page = "<html>Who are you?</html>"

    with pytest.raises(DeployError, match=r"not Ray's dashboard.*<html>Who") as info:
        Cluster(dashboard.address).served()
    assert not info.value.retryable


def test_a_refusal_is_no_reason_to_try_again(dashboard: Dashboard) -> None:
    with pytest.raises(DeployError, match=r"refuses .404 no such") as info:
        Cluster(f"{dashboard.address}/else").served()
    assert not info.value.retryable
    assert 1 == len(dashboard.asked)


def test_one_that_is_busy_is_asked_until_the_time_is_over(dashboard: Dashboard) -> None:
    dashboard.submitted = 0
    cluster = Cluster(dashboard.address)
    with pytest.raises(DeployError, match=r"refuses .500 No available agent") as info:
        next(cluster.run("true", 1e-9))
    assert info.value.retryable
    assert 1 == dashboard.submitted

    assert ["prefetched to 1 of 1 nodes"] == list(cluster.run("true", 60))
    assert 3 == dashboard.submitted


def test_a_job_whose_answer_is_lost_runs_once(dashboard: Dashboard) -> None:
    """As through a port that kubectl forwards."""
    dashboard.loses_answers = True

    lines = list(Cluster(dashboard.address).run("true", 60))

    assert ["prefetched to 1 of 1 nodes"] == lines
    assert ["true"] == dashboard.commands


def test_what_json_does_not_have_is_not_sent() -> None:
    with pytest.raises(DeployError, match=r"set.* put it in quotes") as info:
        Cluster("127.0.0.1:9").apply({1, 2})
    assert not info.value.retryable


def test_the_config_is_given_back_whole(dashboard: Dashboard) -> None:
    config = {"name": "shop", "import_path": "shop:app"}
    dashboard.serve = {
        "target_capacity": 50,
        "applications": {"shop": {"deployed_app_config": config}, "x": {}},
    }
    cluster = Cluster(dashboard.address)
    cluster.apply(cluster.config())

    assert [{"target_capacity": 50, "applications": [config]}] == dashboard.applied


def test_no_serve_is_no_application(dashboard: Dashboard) -> None:
    dashboard.serve = {}

    assert {} == Cluster(dashboard.address).served()


def test_dead_actors_are_not_asked_for(dashboard: Dashboard) -> None:
    """Ray remembers them by the thousand, and answers with so many actors at most."""
    assert [] == Cluster(dashboard.address).processes()
    assert "filter_predicates=!%3D&filter_values=DEAD" in dashboard.asked[0]


def test_a_node_that_has_no_log_and_one_that_does_not_answer(
    dashboard: Dashboard,
) -> None:
    """For Ray a missing file is a failure; only a list of files tells."""
    env = json.dumps({"env_vars": {"LAZYIMPORT_HASH": A}})
    facts = {"name": "a", "class_name": "C", "state": "ALIVE", "node_id": "n", "pid": 7}
    dashboard.actors = [{**facts, "actor_id": "1", "serialized_runtime_env": env}]
    cluster = Cluster(dashboard.address)

    (process,) = cluster.processes()
    assert None is process.unread
    assert {} == cluster.told(1, "n")

    dashboard.mute = True
    (process,) = cluster.processes()
    assert "Agent for node id" in str(process.unread)
    with pytest.raises(DeployError, match="Agent for node id"):
        cluster.told(1, "n")


def test_a_job_prints_line_by_line(dashboard: Dashboard) -> None:
    dashboard.status, dashboard.logs = "RUNNING", "one\ntwo\nthr"
    lines = Cluster(dashboard.address).run("true", 60)

    assert ["one", "two"] == [next(lines), next(lines)]
    dashboard.status, dashboard.logs = "SUCCEEDED", "one\ntwo\nthree\nfour"
    assert ["three", "four"] == list(lines)
    assert ["true"] == dashboard.commands


@pytest.mark.parametrize(
    ("status", "said"),
    [("FAILED", "FAILED"), ("RUNNING", "still RUNNING after 0 s")],
)
def test_a_job_that_fails_or_does_not_end(
    dashboard: Dashboard, status: str, said: str
) -> None:
    dashboard.status, dashboard.logs = status, "why\n"
    lines = Cluster(dashboard.address).run("false", 0.01)

    assert "why" == next(lines)
    with pytest.raises(
        DeployError, match=rf"/api/jobs/\S+, a job of Ray, is {said}: false"
    ):
        list(lines)


@pytest.mark.parametrize(("store", "last"), [(None, A), ("gs://b/a c", "'gs://b/a c'")])
def test_prefetching_is_a_job(
    dashboard: Dashboard, store: str | None, last: str
) -> None:
    lines = list(Cluster(dashboard.address).prefetch(A, store, 60))

    assert ["prefetched to 1 of 1 nodes"] == lines
    (command,) = dashboard.commands
    assert command.startswith(f"python -m lazyimport.ray.prefetch_job {A}")
    assert command.endswith(last)


class TestAnotherVersionInTheCluster:
    """Jobs of ours are run by the lazyimport that the cluster has, or has not."""

    @pytest.mark.parametrize(
        ("module", "said"),
        [
            (
                "lazyimport.ray.younger_job",
                "an older lazyimport, without lazyimport.ray",
            ),
            (
                "lazyimport.younger.job",
                "an older lazyimport, without lazyimport.younger",
            ),
        ],
    )
    def test_that_lacks_the_job(
        self, dashboard: Dashboard, module: str, said: str
    ) -> None:
        dashboard.logs = python_says(module)
        dashboard.status = "FAILED"
        cluster = Cluster(dashboard.address)
        for ask in (
            lambda: cluster.pythons(60),
            lambda: list(cluster.prefetch(A, None, 60)),
        ):
            with pytest.raises(DeployError, match=f"the cluster has {said}") as info:
                ask()
            assert "put the version that is here" in str(info.value)
            assert "a job of Ray, is FAILED: python -m" in str(info.value)

    def test_none(self, dashboard: Dashboard) -> None:
        dashboard.logs = python_says("lazyimport.ray.describe_job", "-S")
        dashboard.status = "FAILED"
        with pytest.raises(DeployError, match="has no lazyimport for the python that"):
            Cluster(dashboard.address).pythons(60)

    @pytest.mark.parametrize(
        "logs",
        [
            "",
            "starting\n",
            '{"where": "node"}\n',
            "{\n",
            '{"where": "n", "minor": "3.8", "tag": "", "magic": "", "suffixes": []}\n',
            '{"where": "n", "minor": 8, "tag": "", "magic": "x", "suffixes": []}\n',
        ],
    )
    def test_that_answers_in_another_form(
        self, dashboard: Dashboard, logs: str
    ) -> None:
        dashboard.logs = logs
        with pytest.raises(DeployError, match="does not say which Python its nodes"):
            Cluster(dashboard.address).pythons(60)


def python_says(module: str, *options: str) -> str:
    """What Python prints that is to run a module and does not have it."""
    command = [sys.executable, *options, "-m", module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode
    return done.stderr
