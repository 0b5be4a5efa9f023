"""Live code in a cluster: the config that Serve is given, and what replicas tell."""

from __future__ import annotations

import json
from base64 import b64decode
from threading import Timer

import pytest

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.live import LARGEST_HANDED, LiveApplication, derive
from tests.fakes.dashboard import Dashboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32
STORE = "gs://bucket/code"
TILL = {"name": "till", "import_path": "till:app"}
SHOP = {
    "name": "shop",
    "import_path": "shop.serve:app",
    "args": {"size": 3},
    "route_prefix": "/shop",
    "runtime_env": {"env_vars": {"MODE": "test", "LAZYIMPORT_HASH": "old"}},
    "deployments": [
        {"name": "Shop", "num_replicas": 2, "user_config": {"color": "red"}}
    ],
}
#: of our entry, where nothing ran before
ARGS = {"application": "shop.serve:app", "args": {"size": 3}, "before": None}


class Serve(Dashboard):
    """A Serve that runs what it is given; replicas tell ``answers`` by hash."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, dict[str, Any]] = {}
        self.silent: set[str] = set()
        self.then = self.take
        self.serve = {"applications": {"till": {"deployed_app_config": TILL, "status": "RUNNING"}}}  # fmt: skip

    def take(self, config: Any) -> None:
        apps = {app.get("name", "default"): app for app in config["applications"]}
        self.serve = {"applications": {name: self.runs(app) for name, app in apps.items()}}  # fmt: skip

    def runs(self, app: dict[str, Any]) -> dict[str, Any]:
        configs = {each["name"]: each for each in app.get("deployments") or ()}
        deployments = {}
        for name in ("Shop", "Model") if app["name"] == "shop" else ():
            ids = [f"{name}1"] + [f"{name}0"] * (name == "Model")
            states = ["RUNNING", "STOPPING"]
            deployments[name] = {
                "status": "HEALTHY",
                "message": "",
                "target_num_replicas": 1,
                "replicas": [
                    {"replica_id": known, "actor_id": known, "state": state, "start_time_s": 1, "node_id": "n1"}
                    for known, state in zip(ids, states, strict=False)
                ],
            }  # fmt: skip
            wish = configs.get(name, {}).get("user_config", {}).get("lazyimport")
            if wish and ids[0] not in self.silent:
                self.tell(name, ids[0], wish)
        return {
            "status": "RUNNING",
            "message": "",
            "deployments": deployments,
            "deployed_app_config": app,
        }

    def tell(self, deployment: str, replica: str, wish: dict[str, Any]) -> None:
        live = {"deployment": deployment, "replica": replica, "wish": wish["wish"]}
        live |= {"state": "swapped", "reason": "", "modules": [], "kept": [], "milliseconds": {}}  # fmt: skip
        live |= self.answers.get(wish["hash"], {})
        self.installs += json.dumps({"pid": 7, "hash": wish["hash"], "live": live}) + "\n"  # fmt: skip

    @property
    def shop(self) -> dict[str, Any]:
        """What it was given last for the application."""
        return next(app for app in self.applied[-1]["applications"] if app["name"] == "shop")  # fmt: skip


@pytest.fixture(name="serve")
def _serve() -> Iterator[Serve]:
    serve = Serve()
    with serve:
        yield serve


@pytest.fixture(name="live")
def _live(serve: Serve) -> LiveApplication:
    config = {"applications": [SHOP], "http_options": {"port": 1}}
    live = LiveApplication(Cluster(serve.address), config, "shop", STORE)
    live.enter(A)
    return live


def wishes(app: dict[str, Any]) -> dict[str, str]:
    return {
        each["name"]: each["user_config"]["lazyimport"]["hash"]
        for each in app["deployments"]
    }


def wish(app: dict[str, Any]) -> dict[str, Any]:
    wish: dict[str, Any] = app["deployments"][0]["user_config"]["lazyimport"]
    return wish


def test_the_entry_is_ours_and_all_else_theirs(
    serve: Serve, live: LiveApplication
) -> None:
    """What else runs in the cluster stays, and what is in the config too."""
    config = serve.applied[-1]
    assert [TILL, serve.shop] == config["applications"]
    assert {"port": 1} == config["http_options"]
    assert "lazyimport.ray.live:application" == serve.shop["import_path"]
    assert ARGS == serve.shop["args"]
    assert "/shop" == serve.shop["route_prefix"]
    assert {
        "MODE": "test",
        "LAZYIMPORT_HASH": A,
        "LAZYIMPORT_STORE": STORE,
        "LAZYIMPORT_LIVE": "1",
    } == serve.shop["runtime_env"]["env_vars"]
    (shop,) = serve.shop["deployments"]
    assert 2 == shop["num_replicas"]
    assert {"color": "red"} == shop["user_config"]["lazyimport"]["user_config"]


def test_a_change_is_a_wish_of_every_deployment(
    serve: Serve, live: LiveApplication
) -> None:
    """Also of one that the user's config does not list; nothing else changes."""
    before = serve.shop
    (*_, state) = live.change(B, 60)
    assert state.is_over
    assert [] == state.refused
    assert {("Shop", "Shop1"), ("Model", "Model1")} == state.told.keys()
    assert {"Shop": B, "Model": B} == wishes(serve.shop)
    assert B == live.hash
    unchanged = {**serve.shop, "deployments": None}
    assert {**before, "deployments": None} == unchanged


def test_a_rollout_asks_nothing_of_what_ran_before(
    serve: Serve, live: LiveApplication
) -> None:
    """Serve refuses a config that names a deployment that is gone."""
    list(live.change(B, 60))
    live.enter(C)
    assert {"Shop": C} == wishes(serve.shop)
    list(live.change(A, 60))
    assert {"Shop": A, "Model": A} == wishes(serve.shop)


def test_when_one_refuses_all_go_back(serve: Serve, live: LiveApplication) -> None:
    serve.answers[B] = {"state": "refused", "reason": "x.py:1: no"}
    (*_, state) = live.change(B, 60)
    assert ["x.py:1: no"] == sorted({told.reason for told in state.refused})
    assert {"Shop": A, "Model": A} == wishes(serve.shop)
    assert A == live.hash
    (*_, state) = live.change(C, 60)
    assert {"Shop": C, "Model": C} == wishes(serve.shop)


def test_one_that_cannot_go_back_is_named(serve: Serve, live: LiveApplication) -> None:
    serve.answers[A] = serve.answers[B] = {"state": "refused", "reason": "stuck"}
    with pytest.raises(DeployError, match=r"(?s)cannot go back to archive a1.*stuck"):
        list(live.change(B, 60))


def test_one_that_does_not_answer_is_named(serve: Serve, live: LiveApplication) -> None:
    serve.silent.add("Model1")
    with pytest.raises(DeployError, match=r"1 replicas of 'shop' .*: Model Model1"):
        list(live.change(B, 0.2))
    assert A == live.hash


def test_a_question_that_fails_is_asked_again(
    serve: Serve, live: LiveApplication
) -> None:
    """The dashboard may be busy while it is asked what a replica has told."""
    serve.silent.add("Shop1")
    states = live.change(B, 60)
    assert not next(states).is_over
    told, serve.serve = serve.serve, {"error": 503}
    later = Timer(0.2, setattr, (serve, "serve", told))
    later.start()
    serve.tell("Shop", "Shop1", wish(serve.shop))
    assert [] == list(states)[-1].refused
    later.join()
    assert live.runs(B)


def test_a_deployment_without_its_replicas_is_waited_for(
    serve: Serve, live: LiveApplication
) -> None:
    """Serve shows none of either for a moment; told are all that were there before."""
    list(live.change(B, 60))
    serve.then = lambda _: None
    states = live.change(C, 60)
    for hidden in ({}, {"Shop": SHOWN, "Model": SHOWN}):
        serve.serve["applications"]["shop"]["deployments"] = hidden
        state = next(states)
        assert not state.is_over
        assert None is state.told["Shop", ""]
    serve.take(serve.applied[-1])
    assert {C} == {told.hash for told in list(states)[-1].told.values() if told}
    assert {"Shop": C, "Model": C} == wishes(serve.shop)


SHOWN = {"status": "UPDATING", "message": "", "target_num_replicas": 1, "replicas": []}


def test_why_nothing_is_told_is_said(serve: Serve, live: LiveApplication) -> None:
    """As where the agent of a node is gone, which serves its logs."""
    serve.silent |= {"Shop1", "Model1"}
    serve.mute = True
    with pytest.raises(DeployError, match="the log of node n1 cannot be read: Ray at"):
        list(live.change(B, 0.2))


def test_what_fails_half_way_goes_back(serve: Serve, live: LiveApplication) -> None:
    """Also where it is left, as by Ctrl-C; then it can be tried again, or undone."""
    serve.silent.add("Model1")
    with pytest.raises(DeployError, match=r"1 replicas"):
        list(live.change(B, 0.2))
    assert {"Shop": A, "Model": A} == wishes(serve.shop)
    states = live.change(B, 60)
    next(states)
    del states
    assert {"Shop": A, "Model": A} == wishes(serve.shop)
    assert live.runs(A)


def test_where_it_cannot_go_back_nobody_knows(
    serve: Serve, live: LiveApplication
) -> None:
    """So the next push is a change, whatever its hash."""
    serve.silent.add("Model1")
    states = live.change(B, 0.2)
    next(states)
    running, serve.serve = serve.serve, {"error": 503}
    with pytest.raises(DeployError, match=f"serve archive {A} or {B} until the next"):
        list(states)
    assert not live.runs(A)
    assert not live.runs(B)
    serve.serve = running
    serve.silent.clear()
    list(live.change(A, 60))
    assert {"Shop": A, "Model": A} == wishes(serve.shop)
    assert live.runs(A)


def another(serve: Serve) -> LiveApplication:
    """Return what a second `dev` makes of what it finds."""
    config = {"applications": [SHOP]}
    return LiveApplication(Cluster(serve.address), config, "shop", STORE)


@pytest.mark.parametrize("before", [None, {**SHOP, "import_path": "old:app"}])
def test_who_comes_after_one_that_was_killed_goes_back_to_what_ran_before_it(
    serve: Serve, before: dict[str, Any] | None
) -> None:
    """And not to live code; nor does anything roll out because of that."""
    if before is not None:
        serve.take({"applications": [TILL, before]})
    first = another(serve)
    first.enter(A)
    list(first.change(B, 60))
    args = serve.shop["args"]
    second = another(serve)
    assert (False, True) == (first.was_live, second.was_live)
    second.enter(C)
    assert args == serve.shop["args"]
    third = another(serve)
    third.restore()
    assert [TILL, *[before] * bool(before)] == serve.applied[-1]["applications"]


def test_what_nobody_has_noted_is_not_guessed(
    serve: Serve, live: LiveApplication
) -> None:
    """As `dev` of an older lazyimport did not."""
    del serve.shop["args"]["before"]
    serve.take(serve.applied[-1])
    second = another(serve)
    second.enter(B)
    assert "before" not in serve.shop["args"]
    applied = len(serve.applied)
    with pytest.raises(DeployError, match=f"'shop' run what .* live with archive {B}"):
        second.restore()
    assert applied == len(serve.applied)


def test_a_small_delta_comes_with_the_wish(serve: Serve, live: LiveApplication) -> None:
    """So that a node asks no store for it; not with what goes back."""
    serve.answers[C] = {"state": "refused", "reason": "no"}
    list(live.change(B, 60, b"few bytes"))
    assert b"few bytes" == b64decode(wish(serve.shop)["delta"])
    list(live.change(C, 60, b"few bytes"))
    assert "delta" not in wish(serve.shop)
    list(live.change(A, 60, bytes(LARGEST_HANDED + 1)))
    assert "delta" not in wish(serve.shop)


def test_serve_is_asked_seldom_while_nothing_changes(
    serve: Serve, live: LiveApplication
) -> None:
    """And logs of nodes less often the longer nothing does."""
    serve.silent.add("Model1")
    serve.asked.clear()
    with pytest.raises(DeployError, match=r"1 replicas of 'shop'"):
        list(live.change(B, 2))
    logs = [path for path in serve.asked if "logs" in path]
    assert len(logs) < 35
    assert len(serve.asked) - len(logs) < 10


def test_what_is_half_typed_is_not_taken(serve: Serve, live: LiveApplication) -> None:
    broken: list[Any] = [
        [1],
        [{"name": "shop"}],
        [{**SHOP, "deployments": ["Shop"]}],
        [{**SHOP, "deployments": [{"num_replicas": 1}]}],
        [{**SHOP, "runtime_env": "x"}],
        [{**SHOP, "runtime_env": {"env_vars": 1}}],
        [],
        None,
    ]
    for apps in broken:
        with pytest.raises(DeployError, match="'shop' of the manifest is no config"):
            live.read({"applications": apps})
    live.apply()
    assert ARGS == serve.shop["args"]


def test_other_code_is_told_from_another_option(live: LiveApplication) -> None:
    """What living replicas cannot change to is rolled out."""
    others: list[Any] = [{"import_path": "b:app"}, {"args": {}}, {"runtime_env": {}}]
    for change in others:
        assert live.read({"applications": [{**SHOP, **change}]})
        assert live.read({"applications": [SHOP]})
    named = {"env_vars": {"MODE": "test", "LAZYIMPORT_HASH": B}}
    options: list[Any] = [{"deployments": []}, {"runtime_env": named}]
    for option in options:
        assert not live.read({"applications": [{**SHOP, **option}]})


def test_the_secret_of_a_store_stays_here() -> None:
    for store in ("https://me:secret@host/code", "https://host/code?signature=1"):
        assert "LAZYIMPORT_STORE" not in derive(SHOP, A, store)["runtime_env"]["env_vars"]  # fmt: skip


def test_the_capacity_of_the_cluster_stays(serve: Serve, live: LiveApplication) -> None:
    serve.serve["target_capacity"] = 50
    live.apply()
    assert 50 == serve.applied[-1]["target_capacity"]
    serve.serve["target_capacity"] = 50
    live.restore()
    assert 50 == serve.applied[-1]["target_capacity"]


def test_it_goes_back_to_what_ran_before(serve: Serve, live: LiveApplication) -> None:
    """Which may have been nothing; or another version, also one without lazyimport."""
    live.restore()
    assert [TILL] == serve.applied[-1]["applications"]
    plain = {"name": "shop", "import_path": "shop:v1"}
    serve.take({"applications": [plain]})
    again = LiveApplication(live.cluster, {"applications": [SHOP]}, "shop", None)
    again.enter(A)
    again.restore()
    assert [plain] == serve.applied[-1]["applications"]
