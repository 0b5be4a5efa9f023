"""A rollout: from a hash in a config to every replica running it, or the reason."""

from __future__ import annotations

import time
from collections import Counter

from lazyimport.deploy.errors import DeployError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lazyimport.deploy.cluster import Cluster, Served

__all__ = ["follow"]

_SECONDS_BETWEEN = 0.5
#: A busy dashboard may leave questions unanswered for so long.
_SECONDS_OF_SILENCE = 120.0


def follow(
    cluster: Cluster, wanted: Mapping[str, str], timeout: float
) -> Iterator[list[Served]]:
    """Yield the applications *wanted* (name -> hash) until all of them run theirs.

    It ends when every application is RUNNING, every deployment has the replicas it
    should have, and no replica of another hash is left.

    Raises DeployError with Serve's own message and traceback when one fails, after
    *timeout* seconds, and where the cluster cannot be reached for two minutes.
    """
    deadline = time.monotonic() + timeout
    begun: set[str] = set()
    while True:
        served = _ask(cluster, min(deadline, time.monotonic() + _SECONDS_OF_SILENCE))
        now = [served[name] for name in wanted if name in served]
        yield now
        failed = next((a for a in now if _failed(a, wanted[a.name])), None)
        if failed is not None:
            raise _error(
                failed,
                wanted[failed.name],
                f"application {failed.name!r} cannot be deployed with archive "
                f"{wanted[failed.name]}:\n{failed.message.strip()}",
            )
        begun |= {app.name for app in now if app.hash == wanted[app.name]}
        for app in now:
            if app.name in begun and app.hash != wanted[app.name]:
                raise DeployError(
                    f"application {app.name!r} was deployed anew meanwhile, with "
                    f"{app.hash or 'no hash'}: archive {wanted[app.name]} will not "
                    "become what it runs",
                    app=app.name,
                    hash=wanted[app.name],
                    superseded=True,
                )
        late = [name for name, hash in wanted.items() if not _done(served, name, hash)]
        if not late:
            return
        if time.monotonic() > deadline:
            raise _timeout(served, late[0], wanted[late[0]], timeout)
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


def _done(served: Mapping[str, Served], name: str, hash: str) -> bool:
    app = served.get(name)
    if app is None or app.hash != hash or app.status != "RUNNING" or not app.targets:
        return False
    running = Counter(r.deployment for r in app.replicas if r.state == "RUNNING")
    return all(replica.hash == hash for replica in app.replicas) and all(
        running[deployment] == count for deployment, count in app.targets.items()
    )


def _failed(app: Served, hash: str) -> bool:
    return app.hash == hash and app.status == "DEPLOY_FAILED"


def _timeout(
    served: Mapping[str, Served], name: str, hash: str, timeout: float
) -> DeployError:
    app = served.get(name)
    if app is None:
        return DeployError(
            f"after {timeout:.0f} s Serve has no application {name!r} yet; is this the "
            "cluster that was deployed to?"
        )
    said = f": {app.message.strip()}" if app.message.strip() else ""
    return _error(
        app,
        hash,
        f"application {name!r} is still {app.status} after {timeout:.0f} s, not all "
        f"replicas run archive {hash}{said}",
    )


def _error(app: Served, hash: str, text: str) -> DeployError:
    """Return the error with what serves now, which is what a person asks next."""
    running = Counter(r.hash for r in app.replicas if r.serves)
    serving = ", ".join(
        f"{count} with {running_hash or 'no hash'}"
        for running_hash, count in running.items()
    )
    lines = [text, f"replicas that serve now: {serving or 'none'}"]
    return DeployError("\n".join(lines), app=app.name, hash=hash)
