"""Targets: where a manifest is applied, and the cluster that then runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lazyimport.deploy import kubectl
from lazyimport.deploy.application import CRON_JOB, JOB, SERVE, SERVICE, Application
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import ImpossibleError
from lazyimport.deploy.keyed import KEYED
from lazyimport.deploy.manifest import Manifest
from lazyimport.reporting import SILENT, Reporter
from lazyimport.values import redact


class Target:
    """Where manifests go: a Serve config to a cluster, Kubernetes objects to kubectl.

    *address* is that of Ray's dashboard. Without it, Serve configs go to *local*,
    and the dashboard of a RayService is reached by ``kubectl port-forward``. *token*
    is sent to the dashboard if the cluster asks for one.
    """

    def __init__(
        self,
        address: str | None = None,
        token: str | None = None,
        local: str = "http://localhost:8265",
    ) -> None:
        self._address = address
        self._token = token
        self._local = local
        self._cluster: Cluster | None = None

    def cluster(self) -> Cluster:
        """Return the cluster that Serve configs go to."""
        if self._cluster is None:
            self._cluster = Cluster(self._address or self._local, self._token)
        return self._cluster

    def name_for(self, application: Application) -> str:
        """Return what *application* is applied to, as people and records name it."""
        if application.resource is None:
            return redact(self.cluster().address)
        return "/".join(filter(None, [application.kind, *application.resource[::-1]]))

    @contextmanager
    def cluster_of(self, application: Application) -> Iterator[Cluster]:
        """Give the cluster that runs *application*, or is to. Raises DeployError."""
        if application.kind != SERVICE or self._address:
            yield self.cluster()
            return
        assert application.resource is not None
        forward = kubectl.Forward(*application.resource)
        try:
            yield Cluster(forward, self._token)
        finally:
            forward.end()

    def check(
        self,
        applications: Sequence[Application],
        *,
        apply: bool = False,
        prefetch: bool = False,
        wait: bool = False,
    ) -> None:
        """Raise ImpossibleError for what *applications* could never be asked for.

        Made for the moment before anything that takes time. Raises DeployError if what
        it takes is missing.
        """
        kinds = {application.kind for application in applications}
        jobs = bool(kinds & {JOB, CRON_JOB})
        if apply and KEYED in kinds:
            raise ImpossibleError(
                "helm or kustomize makes manifests of this file, so they apply it: "
                "leave out --apply; --wait follows what comes of it"
            )
        if wait and jobs:
            raise ImpossibleError(
                "a job has no replicas to wait for: leave out --wait, and follow it "
                "with kubectl get rayjob"
            )
        services = {app.resource for app in applications if app.kind == SERVICE}
        if (wait or prefetch) and len(services) > 1:
            raise ImpossibleError(
                "these are several RayServices, each with a cluster of its own: wait "
                "for them and prefetch one by one, with --app"
            )
        if prefetch and jobs and not self._address:
            raise ImpossibleError(
                "KubeRay makes a cluster for each run of a job, so there is none to "
                "prefetch to; name one with --address if the job selects it "
                "(clusterSelector)"
            )
        if apply and len(kinds) > 1:
            raise ImpossibleError(
                "these are a Serve config and Kubernetes objects: apply them one by one"
            )
        if apply and not kinds <= {SERVE}:
            kubectl.require()

    def given(self, application: Application) -> object:
        """Return what KubeRay has for a RayService, by which it deploys; else None."""
        if application.kind != SERVICE or application.resource is None:
            return None
        return kubectl.given(*application.resource)

    def apply(
        self,
        manifest: Manifest,
        applications: Sequence[Application],
        reporter: Reporter = SILENT,
    ) -> str:
        """Apply *manifest* because of these *applications*; return what was done.

        Raises DeployError.
        """
        if applications[0].kind == SERVE:
            config, cluster = manifest.serve_config(), self.cluster()
            reporter.step(f"applying to {cluster.address}")
            cluster.apply(config)
            return f"applied to {cluster.address}"
        verb = "create" if manifest.generates_names else "apply"
        reporter.step(f"kubectl {verb}")
        said = kubectl.apply(manifest.path, verb)
        for name in [app.name for app in applications if app.kind == JOB]:
            found = f"rayjob.ray.io/{name} "
            if f"{found}configured" in said or f"{found}unchanged" in said:
                reporter.warn(
                    f"RayJob {name!r} was there already, and KubeRay runs one only once: "
                    f"if it has started, kubectl delete rayjob {name} and apply it "
                    "again; with generateName in place of a name every deploy is a job "
                    "of its own"
                )
        return said
