"""Deploying: a hash in a manifest, into a cluster, followed to its end.

::

    from lazyimport import deploy

    manifest = deploy.Manifest.read("serve.yaml")
    plan = deploy.Plan(manifest, hash)
    target, history = deploy.Target(), deploy.History(settings.cache_dir)
    plan = plan.write(history)
    plan.apply(target, history)
    for applications in plan.follow(target, timeout=600):
        ...

It runs on a laptop or in CI, and imports no Ray. Every failure is a `DeployError`.
The names below are imported when somebody asks for them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.deploy.application import Application
    from lazyimport.deploy.cluster import Cluster
    from lazyimport.deploy.errors import DeployError, ImpossibleError, ManifestError
    from lazyimport.deploy.history import History
    from lazyimport.deploy.manifest import Manifest
    from lazyimport.deploy.plan import Plan, Step
    from lazyimport.deploy.preflight import Checked, check
    from lazyimport.deploy.rollback import ClusterRollback, plan_rollback
    from lazyimport.deploy.rollout import follow
    from lazyimport.deploy.status import Process, Replica, Served
    from lazyimport.deploy.target import Target

__all__ = [
    "Application",
    "Checked",
    "Cluster",
    "ClusterRollback",
    "DeployError",
    "History",
    "ImpossibleError",
    "Manifest",
    "ManifestError",
    "Plan",
    "Process",
    "Replica",
    "Served",
    "Step",
    "Target",
    "check",
    "follow",
    "plan_rollback",
]

_HOMES = {
    "Application": "lazyimport.deploy.application",
    "Checked": "lazyimport.deploy.preflight",
    "Cluster": "lazyimport.deploy.cluster",
    "ClusterRollback": "lazyimport.deploy.rollback",
    "DeployError": "lazyimport.deploy.errors",
    "History": "lazyimport.deploy.history",
    "ImpossibleError": "lazyimport.deploy.errors",
    "Manifest": "lazyimport.deploy.manifest",
    "ManifestError": "lazyimport.deploy.errors",
    "Plan": "lazyimport.deploy.plan",
    "Process": "lazyimport.deploy.status",
    "Replica": "lazyimport.deploy.status",
    "Served": "lazyimport.deploy.status",
    "Step": "lazyimport.deploy.plan",
    "Target": "lazyimport.deploy.target",
    "check": "lazyimport.deploy.preflight",
    "follow": "lazyimport.deploy.rollout",
    "plan_rollback": "lazyimport.deploy.rollback",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(__import__(_HOMES[name], fromlist=[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
