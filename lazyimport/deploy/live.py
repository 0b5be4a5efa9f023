"""Live code in a cluster: an application whose replicas are told of each new archive.

The config that Serve gets is derived from the user's: an entry of ours around his, and
``user_config`` with the hash for each deployment. Changing that replaces no replica.
"""

from __future__ import annotations

import copy
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.node_log import Told
from lazyimport.deploy.status import SHORT, Served
from lazyimport.settings import ENVIRONMENT
from lazyimport.values import redact

#: `lazyimport.ray.live`, and the field of runtime environments and user configs
ENTRY, FIELD = "lazyimport.ray.live:application", "lazyimport"
#: what `dev` found, in the ``args`` of the entry, so that another one knows it too
_BEFORE = "before"
#: Seconds between two looks at the logs of nodes: at first, at last, and the part of
#: the time for which nothing has changed.
_SECONDS_BETWEEN, _SECONDS_AT_MOST, _PART = 0.05, 1.0, 0.1
#: Seconds after which Serve is asked again which replicas there are.
_SECONDS_KNOWN = 1.0
#: Bytes of a delta that is handed over in the config, at most; others are fetched.
LARGEST_HANDED = 32 * 1024
#: states of replicas that will serve no more
_LEAVING = {"STOPPING"}


class State(NamedTuple):
    """How far a change to the archive ``hash`` is: what each replica has told.

    ``told`` has an answer, or None so far, by deployment and replica, which is ``""``
    while a deployment has none that it is to have. ``trouble`` is what Serve says where
    a deployment is not well, and why answers cannot be read.
    """

    hash: str
    told: Mapping[tuple[str, str], Told | None]
    trouble: str = ""

    @property
    def refused(self) -> list[Told]:
        """The answers of replicas that serve the old version on."""
        return [told for told in self.told.values() if told and told.state == "refused"]

    @property
    def is_over(self) -> bool:
        """Whether every replica has told."""
        return all(self.told.values())

    @property
    def lacks_replicas(self) -> bool:
        """Whether a deployment has none that it is to have."""
        return any(not replica for _, replica in self.told)


class LiveApplication:
    """The application *name* of the Serve *config*, as it runs in *cluster*.

    *store* is the URL from which nodes fetch what they do not have. ``hash`` is the
    archive that it runs, ``base`` the one with which its replicas were started.
    ``was_live`` is whether another `dev` has left it, by whatever end that came to.
    """

    def __init__(
        self, cluster: Cluster, config: Mapping[str, Any], name: str, store: str | None
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.hash = self.base = self._told = ""  # what Serve was told last
        self._store = store
        self._names: Iterable[str] = ()
        found = _named(cluster.config()["applications"], name)
        self.was_live = found is not None and found.get("import_path") == ENTRY
        #: what to go back to, in a list of one; empty if nobody knows that
        self._before: list[Mapping[str, Any] | None] = [found]
        if found is not None and self.was_live:
            args = found.get("args") or {}
            self._before = [args[_BEFORE]] if _BEFORE in args else []
        self._config: dict[str, Any] = {}
        self._derived: dict[str, Any] = {}
        self.read(config)

    def read(self, config: Mapping[str, Any]) -> bool:
        """Take another *config* of the user's, for what is applied from now on.

        Returns whether it makes other code or another environment run, which living
        replicas cannot. Raises DeployError for what is no config of Serve.
        """
        before = self._derived
        try:
            fresh = copy.deepcopy(dict(config))
            derived = self._derive(fresh, "")
            derived["deployments"] = _told_to(derived, (), {})
        except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as bad:
            raise DeployError(
                f"application {self.name!r} of the manifest is no config of Serve: "
                f"{bad!r}",
                app=self.name,
            ) from bad
        self._config, self._derived = fresh, derived
        return any(derived[key] != before.get(key) for key in ("args", "runtime_env"))

    def runs(self, hash: str) -> bool:
        """Whether *hash* is what Serve was told last, and all replicas serve it."""
        return hash == self.hash == self._told

    def apply(self) -> None:
        """Give Serve the config as it is now, with the hash that runs."""
        self._apply(self.hash, self._names or self._deployments())

    def enter(self, hash: str) -> None:
        """Let Serve start replicas of the archive *hash* whose code can change."""
        self.hash = self.base = hash
        self._names = ()
        self._apply(hash, ())  # it may have other deployments than what runs

    def change(self, hash: str, timeout: float, delta: bytes = b"") -> Iterator[State]:
        """Tell living replicas to serve *hash*; yield how far they are.

        A node that has the base of *delta* needs no store for it, if that is small.
        As soon as one refuses, or if this is left or interrupted, all are told to serve
        what they did before. Raises DeployError after *timeout* seconds.
        """
        try:
            for state in self._ask(hash, timeout, delta):
                yield state
                if state.refused:
                    break
        except BaseException as failure:
            try:
                self.apply()
            except DeployError as error:
                if isinstance(failure, DeployError):
                    raise failure.with_text(
                        f"{failure}; replicas serve archive {self.hash} or {hash} "
                        "until the next change that you save"
                    ) from error
            raise
        if state.refused:
            self._go_back(timeout)
        else:
            self.hash = hash

    def restore(self) -> None:
        """Let Serve run what it did before any `dev`: an ordinary rollout.

        Raises DeployError if that is not known.
        """
        if not self._before:
            raise DeployError(
                f"cannot let {self.name!r} run what it ran before: a 'lazyimport dev' "
                "of another version of lazyimport had begun with it and has not noted "
                f"that; it stays live with archive {self.hash}; apply what it is to "
                "run: lazyimport deploy MANIFEST --apply",
                app=self.name,
                hash=self.hash,
            )
        self._put([dict(app) for app in self._before if app is not None])

    def _go_back(self, timeout: float) -> None:
        for state in self._ask(self.hash, timeout):
            for told in state.refused:
                raise DeployError(
                    f"replica {told.replica} of {told.deployment!r} serves another "
                    f"version than the others, and cannot go back to archive "
                    f"{self.hash}: {told.reason}; an ordinary rollout replaces it",
                    app=self.name,
                    hash=self.hash,
                )

    def _ask(self, hash: str, timeout: float, delta: bytes = b"") -> Iterator[State]:
        deadline = time.monotonic() + timeout
        wish = self._apply(hash, self._names or self._deployments(), delta)
        served: Served | None = None
        known, pace = 0.0, _Pace()
        while True:
            try:
                is_fresh = served is None or time.monotonic() > known
                if served is None or is_fresh:
                    served = self._served()
                    known = time.monotonic() + _SECONDS_KNOWN
                state = self._state(served, hash, wish)
            except DeployError as error:
                if not error.retryable or time.monotonic() > deadline:
                    raise
                time.sleep(_SECONDS_BETWEEN)
                continue
            if not is_fresh and (state.is_over or state.lacks_replicas):
                served = None  # there may be others by now
                continue
            yield state
            if state.is_over:
                return
            if time.monotonic() > deadline:
                late = [" ".join(key) for key, told in state.told.items() if not told]
                raise DeployError(
                    f"after {timeout:.0f} s {len(late)} replicas of {self.name!r} have "
                    f"not said whether they serve archive {hash}: {', '.join(late)}"
                    f"{f'; {state.trouble}' if state.trouble else ''}",
                    app=self.name,
                    hash=hash,
                )
            pace.wait(state.told)

    def _apply(self, hash: str, names: Iterable[str], delta: bytes = b"") -> int:
        """Give Serve the derived config; return the number of the wish in it.

        *names* are deployments that it tells beside those that the user's lists.
        """
        wish = time.time_ns() // 1_000_000
        derived = self._derive(self._config, self.base)
        words: dict[str, Any] = {"hash": hash, "wish": wish}
        if delta and len(delta) <= LARGEST_HANDED:
            words["delta"] = b64encode(delta).decode()
        derived["deployments"] = _told_to(derived, names, words)
        self._told = ""  # until Serve has answered
        self._put([derived])
        self._told = hash
        return wish

    def _derive(self, config: Mapping[str, Any], hash: str) -> dict[str, Any]:
        mine = next(a for a in config["applications"] if _name(a) == self.name)
        derived = derive(mine, hash, self._store)
        for before in self._before:
            derived["args"][_BEFORE] = before
        return derived

    def _deployments(self) -> Iterable[str]:
        """Return the names of the deployments that are live now."""
        served = self.cluster.serving().get(self.name)
        return served.targets if served is not None and served.live else ()

    def _put(self, mine: list[dict[str, Any]]) -> None:
        """Give Serve the configs *mine*; what else the cluster runs stays as it is."""
        now = self.cluster.config()
        others = [app for app in now["applications"] if _name(app) != self.name]
        self.cluster.apply({**now, **self._config, "applications": [*others, *mine]})

    def _served(self) -> Served:
        app = self.cluster.serving().get(self.name)
        if app is None:
            raise DeployError(f"application {self.name!r} was deleted", app=self.name)
        if app.targets:  # Serve shows none for a moment after some changes
            self._names = app.targets
        return app

    def _state(self, app: Served, hash: str, wish: int) -> State:
        living = [each for each in app.replicas if each.state not in _LEAVING]
        told: dict[str, Told] = {}
        trouble = f"Serve says: {app.message}" if app.message else ""
        for node in {each.node for each in living if each.node}:
            try:
                told.update(self.cluster.told(wish, node))
            except DeployError as error:
                trouble += f"; the log of node {node[:SHORT]} cannot be read: {error}"
        answers = {(r.deployment, r.id): told.get(r.id) for r in living}
        wanted = app.targets or dict.fromkeys(self._names or [self.name], 1)
        for name in wanted.keys() - {r.deployment for r in living}:
            if wanted[name]:
                answers[name, ""] = None
        return State(hash, answers, trouble.removeprefix("; "))


class _Pace:
    """How often somebody is asked who may have changed: seldom where nothing does.

    What comes is seen later by a part of the time that it took, at most.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._seen: object = None

    def wait(self, seen: object) -> None:
        """Wait until it is time to look again; *seen* is what there was to see now."""
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        pause = max((now - self._since) * _PART, _SECONDS_BETWEEN)
        time.sleep(min(pause, _SECONDS_AT_MOST))


def derive(
    application: Mapping[str, Any], hash: str, store: str | None
) -> dict[str, Any]:
    """Return the config of a live application that runs what *application* does.

    A *store* whose URL has a secret is left out: everybody can read the config.
    """
    environment = dict(application.get("runtime_env") or {})
    named = {ENVIRONMENT["hash"]: hash, ENVIRONMENT["live"]: "1"}
    if store and redact(store) == store:
        named = {ENVIRONMENT["store"]: store, **named}
    environment["env_vars"] = {**(environment.get("env_vars") or {}), **named}
    if FIELD in environment:
        environment[FIELD] = {**environment[FIELD], "hash": hash}
    inner = {"application": application["import_path"]}
    if application.get("args"):
        inner["args"] = application["args"]
    return {
        **application,
        "import_path": ENTRY,
        "args": inner,
        "runtime_env": environment,
    }


def _told_to(
    application: Mapping[str, Any], names: Iterable[str], wish: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the deployments of *application*, and *names*, each told of the *wish*."""
    listed = {each["name"]: each for each in application.get("deployments") or ()}
    told = []
    for name in dict.fromkeys([*listed, *names]):
        deployment, inner = listed.get(name, {"name": name}), dict(wish)
        if deployment.get("user_config") is not None:
            inner["user_config"] = deployment["user_config"]
        told.append({**deployment, "user_config": {FIELD: inner}})
    return told


def _named(
    applications: Iterable[Mapping[str, Any]], name: str
) -> Mapping[str, Any] | None:
    return next((app for app in applications if _name(app) == name), None)


def _name(application: Mapping[str, Any]) -> str:
    return str(application.get("name") or "default")
