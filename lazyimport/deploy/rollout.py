"""A rollout: from a hash in a config to every replica running it, or the reason."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NoReturn

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.failure import details, headline, without_colors
from lazyimport.deploy.status import SHORT, Served

_SECONDS_BETWEEN = 0.5
#: Seconds for which a busy dashboard may leave questions unanswered.
_SECONDS_OF_SILENCE = 120.0
#: So many replicas that are not ready are named.
_NAMED = 3


def follow(
    cluster: Cluster,
    wanted: Mapping[str, str],
    timeout: float,
    undo: str = "",
    before: Mapping[str, Served] = MappingProxyType({}),
) -> Iterator[list[Served]]:
    """Yield the applications *wanted* (name -> hash) until all of them run theirs.

    It ends when every application is RUNNING, every deployment has the replicas it
    should have, and no replica of another hash is left. *before* is what the cluster
    served before it was told to: a failure from then is not the end.

    Raises DeployError when one fails, after *timeout* seconds, when somebody deploys
    another hash, and if the cluster is unreachable for two minutes. It says what went
    wrong, what serves now and, by *undo*, the command that goes back; its cause has
    Serve's own message with the traceback.
    """
    deadline = time.monotonic() + timeout
    begun: set[str] = set()
    old = dict(before)
    while True:
        until = min(deadline, time.monotonic() + _SECONDS_OF_SILENCE)
        served = _ask(cluster, until, undo)
        now = [served[name] for name in wanted if name in served]
        yield now
        for app in now:
            if app.name in old and not app.is_still(old[app.name]):
                del old[app.name]
            if app.name not in old:
                _refuse_end(app, wanted[app.name], begun, undo)
        running = {app.name for app in now if app.runs(wanted[app.name])}
        late = [name for name in wanted if name not in running]
        if not late:
            return
        if time.monotonic() > deadline:
            name = late[0]
            known, is_old = served.get(name), name in old
            _late(name, wanted[name], known, timeout, undo, is_old=is_old)
        time.sleep(_SECONDS_BETWEEN)


def _ask(cluster: Cluster, deadline: float, undo: str) -> dict[str, Served]:
    """Return what the cluster serves, asked until it answers."""
    while True:
        try:
            return cluster.served()
        except DeployError as error:
            if not error.retryable or time.monotonic() > deadline:
                back = f"\nto go back: {undo}" if undo else ""
                raise error.with_text(f"{error}{back}") from error
        time.sleep(_SECONDS_BETWEEN)


def _refuse_end(app: Served, hash: str, begun: set[str], undo: str) -> None:
    """Raise DeployError if *app* will not run *hash*; *begun* are those that began."""
    if app.hash == hash:
        begun.add(app.name)
        if app.status == "DEPLOY_FAILED":
            text = f"application {app.name!r} cannot be deployed with archive {hash}"
            _fail(app.name, hash, app, text, "failed", undo)
    elif app.name in begun:
        text = (
            f"application {app.name!r} was deployed again meanwhile, with "
            f"{app.hash or 'no hash'}: archive {hash} will not become what it runs"
        )
        _fail(app.name, hash, app, text, "superseded")


def _late(
    name: str,
    hash: str,
    app: Served | None,
    timeout: float,
    undo: str,
    *,
    is_old: bool,
) -> None:
    text = (
        f"after {timeout:.0f} s Serve has no application {name!r} yet; is this the "
        "cluster that was deployed to?"
    )
    if app is not None:
        text = f"application {name!r} is still {app.status} after {timeout:.0f} s, not "
        text += f"all replicas run archive {hash}"
        text = "\n".join([text, *_starting(app)])
    if app is not None and is_old:
        text = (
            f"application {name!r} is still {app.status} as before: in {timeout:.0f} s "
            "nobody has told Serve to deploy it again; KubeRay does when the text in "
            "serveConfigV2 is another one"
        )
    _fail(name, hash, app, text, "timed out", undo)


def _starting(app: Served) -> Iterator[str]:
    """Yield a line for each replica that is not ready: which, since when, and where."""
    starting = [replica for replica in app.replicas if replica.state == "STARTING"]
    for replica in starting[:_NAMED]:
        since = time.time() - replica.started if replica.started else None
        text = f"replica {replica.id} of {replica.deployment} is STARTING"
        text += f", for {since:.0f} s" if since is not None else ""
        if replica.pid:
            text += (
                f": process {replica.pid} on node {replica.node[:SHORT]}; Ray's "
                f"dashboard shows its logs and its stack: actor {replica.actor}"
            )
        yield text + ("" if replica.pid else ", and has no process yet")
    if starting[_NAMED:]:
        yield f"and {len(starting) - _NAMED} more replicas are STARTING"


def _fail(
    name: str, hash: str, app: Served | None, text: str, outcome: str, undo: str = ""
) -> NoReturn:
    """Raise the error that begins with Serve's reason and ends with what to type."""
    reason = without_colors(app.message).strip() if app else ""
    lines = [text]
    if reason and outcome != "superseded":
        lines = [headline(reason), *details(reason), text]
    hashes = app.serving.items() if app else ()
    serving = ", ".join(f"{count} with {h or 'no hash'}" for h, count in hashes)
    lines.append(f"replicas that serve now: {serving or 'none'}")
    if undo:
        lines.append(f"to go back: {undo}")
    facts = {"app": name, "hash": hash, "outcome": outcome, "reason": reason}
    raise DeployError("\n".join(lines), **facts) from (
        DeployError(f"Serve says:\n{reason}") if reason else None
    )
