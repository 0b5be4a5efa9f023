"""Deploying: a hash in a manifest, into a cluster, followed to its end.

A `Plan` says what changes in a `Manifest`. It is written, applied to a `Target`, and
followed until every replica runs the hash; a `History` remembers what came of it.

It runs on a laptop or in CI, and imports no Ray. Every failure is a `DeployError`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.deploy.application import Application
    from lazyimport.deploy.cluster import Cluster
    from lazyimport.deploy.errors import DeployError, ImpossibleError, ManifestError
    from lazyimport.deploy.history import Deployment, History
    from lazyimport.deploy.manifest import Manifest
    from lazyimport.deploy.plan import Plan, Step
    from lazyimport.deploy.preflight import Checked, check
    from lazyimport.deploy.rollback import ClusterRollback, plan_rollback
    from lazyimport.deploy.rollout import follow
    from lazyimport.deploy.status import Process, Replica, Served
    from lazyimport.deploy.target import Target
    from lazyimport.deploy.timeline import Timeline
else:
    from lazyimport.lazy import exports

    __getattr__, __dir__ = exports(
        globals(),
        application="Application",
        cluster="Cluster",
        errors="DeployError ImpossibleError ManifestError",
        history="Deployment History",
        manifest="Manifest",
        plan="Plan Step",
        preflight="Checked check",
        rollback="ClusterRollback plan_rollback",
        rollout="follow",
        status="Process Replica Served",
        target="Target",
        timeline="Timeline",
    )

__all__ = [
    "Application",
    "Checked",
    "Cluster",
    "ClusterRollback",
    "DeployError",
    "Deployment",
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
    "Timeline",
    "check",
    "follow",
    "plan_rollback",
]
