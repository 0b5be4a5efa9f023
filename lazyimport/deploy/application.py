"""Applications: what in a manifest runs an archive, and where its hash stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from lazyimport.deploy.errors import ManifestError
from lazyimport.deploy.nodes import Node, find, is_mapping, pairs, sequence, text_of
from lazyimport.deploy.yamltext import Edit, YamlText
from lazyimport.settings import ENVIRONMENT
from lazyimport.values import is_sha256

SERVE, SERVICE = "Serve config", "RayService"
JOB, CRON_JOB = "RayJob", "RayCronJob"
VARIABLE = ENVIRONMENT["hash"]

_ASSIGNED = re.compile(rf"\b{VARIABLE}=")
#: where a deployment or an application has import paths of what runs in Serve's
#: controller or proxies, not in a replica
_BY_VALUE = (
    ("autoscaling_policy", "policy_function"),
    ("autoscaling_config", "policy", "policy_function"),
    ("request_router_config", "request_router_class"),
)


class Place(NamedTuple):
    """Where a hash stands, or will: under the keys *path* of *root*, in *text*.

    ``environment`` is the runtime environment around it, None if there is none yet;
    ``value`` is what to put there, with ``{}`` in place of the hash.
    """

    text: YamlText
    root: Node
    path: tuple[str, ...]
    environment: Node | None
    value: str = "{}"

    @property
    def paths(self) -> list[tuple[str, ...]]:
        """Where to set a hash: at *path*, and at the variable if that is there too."""
        variable = (*self.path[:-2], "env_vars", VARIABLE)
        there = (
            self.environment is not None
            and variable != self.path
            and find(self.root, *variable) is not None
        )
        return [self.path, variable] if there else [self.path]


class Application:
    """One thing in a manifest that runs an archive.

    ``kind``
        `SERVE`, `SERVICE`, `JOB` or `CRON_JOB`.
    ``name``
        of the Serve application, or of the RayJob or RayCronJob; what it begins
        with if Kubernetes makes up the name of a job.
    ``resource``
        Name and namespace (or None) of the Kubernetes object; None for a Serve
        config.
    ``line``
        The line of the file where it begins, counted from 1.
    ``hash``, ``store``
        The archive and the store that the manifest names for it, or None.
    ``import_path``
        Of a Serve application, or None.
    ``by_value``
        Import paths of policies and routers, which Serve's controller and
        proxies run.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        resource: tuple[str, str | None] | None,
        text: YamlText,
        node: Node,
        place: Place,
    ) -> None:
        environment = place.environment
        self.kind = kind
        self.name = name
        self.resource = resource
        self.line = text.line(node)
        self.nodes = [find(place.root, *path) for path in place.paths]
        named = text_of(self.nodes[0]) or ""
        self.hash = named.lower() if is_sha256(named) else None  # else a placeholder
        self.store = text_of(
            find(environment, "lazyimport", "store")
            or find(environment, "env_vars", ENVIRONMENT["store"])
        )
        self.import_path = text_of(find(node, "import_path"))
        self.by_value = tuple(_by_value(node))
        self.place = place
        self._text = text
        self._node = node

    def check(self) -> None:
        """Raise ManifestError if something in the manifest would win over the hash."""
        for contradiction in self._contradictions():
            raise contradiction

    def edit(self, hash: str) -> Edit | None:
        """Return an edit of the file on the way to *hash*, None if it is there."""
        place = self.place
        after = "import_path" if self.kind in (SERVE, SERVICE) else "entrypoint"
        for path, node in zip(place.paths, self.nodes, strict=True):
            value = place.value.format(hash)
            if text_of(node) != value:
                return place.text.put(place.root, path, value, after)
        return None

    def serve_config(self) -> dict[str, Any]:
        """Return the Serve config that it is a part of. Raises ManifestError."""
        for value in self.place.text.values():
            apps = value.get("applications") or () if isinstance(value, dict) else ()
            named = [app for app in apps if isinstance(app, dict)]
            if any(app.get("name", "default") == self.name for app in named):
                return cast("dict[str, Any]", value)
        raise self._text.error(self._node, f"{self.name!r} is in no Serve config")

    def _repetitions(self) -> Iterator[ManifestError]:
        """Yield keys on the way to the hash that stand there again.

        The first one would be edited, and readers of YAML take the last.
        """
        text, root, path, *_ = self.place
        for depth, name in enumerate(path):
            keys = [key for key, _ in pairs(find(root, *path[:depth]))]
            same = [key for key in keys if key.value == name]
            for key in same[1:]:
                yield text.error(
                    key,
                    f"{name} is here a second time, after line {text.line(same[0])}",
                )

    def _contradictions(self) -> Iterator[ManifestError]:
        """Yield what would win over the hash, or would get it too."""
        inner, root, path, environment, _ = self.place
        around = [(inner, find(root, *path[:n])) for n in range(len(path) + 1)]
        around += [(inner.file, inner.scalar)] if inner.file is not None else []
        for text, node in around:
            if text.is_shared(node):
                yield text.error(
                    node,
                    "this is an anchor, and whatever else refers to it would get the "
                    f"hash of {self.name!r} too; write it out",
                )
        yield from self._repetitions()
        for variable in self.nodes[1:]:
            if text_of(variable) != text_of(self.nodes[0]):
                yield inner.error(
                    variable,
                    f"{VARIABLE} is set here, and runtime_env.lazyimport names another "
                    "hash; keep one of them",
                )
        for text, node, name in (
            (inner, find(environment, "py_executable"), "py_executable"),
            (self._text, find(self._node, "entrypoint"), "the entrypoint"),
        ):
            if _ASSIGNED.search(text_of(node) or ""):
                yield text.error(node, f"{name} sets {VARIABLE}, which would win")
        for deployment in sequence(find(self._node, "deployments")):
            own = find(deployment, "ray_actor_options", "runtime_env")
            hash = find(own, "env_vars", VARIABLE) or find(own, "lazyimport")
            if hash is not None:
                yield self._text.error(
                    hash,
                    f"deployment {text_of(find(deployment, 'name'))!r} names a hash "
                    "of its own: classes of one archive would run with the modules of "
                    "another; remove it, the application's counts for every deployment",
                )


def applications_in(file: YamlText, document: Node) -> Iterator[Application]:
    """Yield what can run an archive in one document of a file."""
    kind = text_of(find(document, "kind"))
    metadata, spec = find(document, "metadata"), find(document, "spec")
    name = text_of(find(metadata, "name")) or text_of(find(metadata, "generateName"))
    resource = name or "", text_of(find(metadata, "namespace"))
    config = find(spec, "serveConfigV2")
    if kind is None:
        yield from _served(SERVE, file, document, None)
    elif kind == SERVICE and text_of(config) is not None:
        inner = file.inside(config)
        for root in inner.documents[:1]:
            yield from _served(SERVICE, inner, root, resource)
    elif kind in (JOB, CRON_JOB):
        job = spec if kind == JOB else find(spec, "jobTemplate")
        if job is not None and is_mapping(job):
            place = _in_job(file, job)
            yield Application(kind, resource[0], resource, file, job, place)


def _served(
    kind: str, text: YamlText, config: Node, resource: tuple[str, str | None] | None
) -> Iterator[Application]:
    for node in filter(is_mapping, sequence(find(config, "applications"))):
        name = text_of(find(node, "name")) or "default"
        environment = find(node, "runtime_env")
        path = ("runtime_env", *_path_in(environment))
        place = Place(text, node, path, environment)
        yield Application(kind, name, resource, text, node, place)


def _in_job(file: YamlText, job: Node) -> Place:
    environment = find(job, "runtimeEnvYAML")
    if environment is None:
        value = f'env_vars:\n  {VARIABLE}: "{{}}"\n'
        return Place(file, job, ("runtimeEnvYAML",), None, value)
    if text_of(environment) is None:
        raise file.error(
            environment, "runtimeEnvYAML must be a string of YAML; write | after it"
        )
    inner = file.inside(environment)
    if not inner.documents:
        raise file.error(environment, "runtimeEnvYAML is empty; remove it")
    root = inner.documents[0]
    return Place(inner, root, _path_in(root), root)


def _path_in(environment: Node | None) -> tuple[str, str]:
    """Return where a runtime environment names its hash, or would."""
    if find(environment, "lazyimport", "hash") is not None:
        return "lazyimport", "hash"  # the field of our plugin, where it is in use
    return "env_vars", VARIABLE


def _by_value(application: Node) -> Iterator[str]:
    for node in (application, *sequence(find(application, "deployments"))):
        for path in _BY_VALUE:
            text = text_of(find(node, *path))
            if text:
                yield text
