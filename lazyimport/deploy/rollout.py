"""A rollout: from a hash in a config to every replica running it, or the reason."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.status import Served

_SECONDS_BETWEEN = 0.5
#: A busy dashboard may leave questions unanswered for so long.
_SECONDS_OF_SILENCE = 120.0


def follow(
    cluster: Cluster, wanted: Mapping[str, str], timeout: float, undo: str = ""
) -> Iterator[list[Served]]:
    """Yield the applications *wanted* (name -> hash) until all of them run theirs.

    It ends when every application is RUNNING, every deployment has the replicas it
    should have, and no replica of another hash is left.

    Raises DeployError with Serve's own message and traceback when one fails, after
    *timeout* seconds, when somebody deploys another hash, and if the cluster is
    unreachable for two minutes. *undo* is the command that goes back, for the text
    of the error.
    """
    try:
        yield from _until_all_run(cluster, wanted, timeout)
    except DeployError as error:
        if error.outcome == "superseded" or not undo:
            raise
        raise error.with_text(f"{error}\nto go back: {undo}") from error


def _until_all_run(
    cluster: Cluster, wanted: Mapping[str, str], timeout: float
) -> Iterator[list[Served]]:
    deadline = time.monotonic() + timeout
    begun: set[str] = set()
    while True:
        served = _ask(cluster, min(deadline, time.monotonic() + _SECONDS_OF_SILENCE))
        now = [served[name] for name in wanted if name in served]
        yield now
        for app in now:
            _refuse_end(app, wanted[app.name], begun)
        running = {app.name for app in now if app.runs(wanted[app.name])}
        late = [name for name in wanted if name not in running]
        if not late:
            return
        if time.monotonic() > deadline:
            name, hash, found = late[0], wanted[late[0]], served.get(late[0])
            text = _late(name, hash, found, timeout)
            raise _error(name, hash, found, text, "timed out")
        time.sleep(_SECONDS_BETWEEN)


def _ask(cluster: Cluster, deadline: float) -> dict[str, Served]:
    """Return what the cluster serves, asked until it answers."""
    while True:
        try:
            return cluster.served()
        except DeployError as error:
            if not error.retryable or time.monotonic() > deadline:
                raise
        time.sleep(_SECONDS_BETWEEN)


def _refuse_end(app: Served, hash: str, begun: set[str]) -> None:
    """Raise DeployError if *app* will not run *hash*; *begun* are those that began."""
    if app.hash == hash:
        begun.add(app.name)
        if app.status == "DEPLOY_FAILED":
            text = f"application {app.name!r} cannot be deployed with archive {hash}:"
            text += f"\n{app.message.strip()}"
            raise _error(app.name, hash, app, text, "failed")
    elif app.name in begun:
        text = (
            f"application {app.name!r} was deployed again meanwhile, with "
            f"{app.hash or 'no hash'}: archive {hash} will not become what it runs"
        )
        raise _error(app.name, hash, app, text, "superseded")


def _late(name: str, hash: str, app: Served | None, timeout: float) -> str:
    if app is None:
        return (
            f"after {timeout:.0f} s Serve has no application {name!r} yet; is this the "
            "cluster that was deployed to?"
        )
    said = f": {app.message.strip()}" if app.message.strip() else ""
    return (
        f"application {name!r} is still {app.status} after {timeout:.0f} s, not all "
        f"replicas run archive {hash}{said}"
    )


def _error(
    name: str, hash: str, app: Served | None, text: str, outcome: str
) -> DeployError:
    """Return the error with what serves now, which is what a person asks next."""
    hashes = app.serving.items() if app else ()
    serving = ", ".join(f"{count} with {h or 'no hash'}" for h, count in hashes)
    text += f"\nreplicas that serve now: {serving or 'none'}"
    reason = app.message if app else ""
    return DeployError(text, app=name, hash=hash, outcome=outcome, reason=reason)
