"""Manifests: which hash the applications of a YAML file run, and setting another.

A file may hold Serve configs, RayServices (whose ``serveConfigV2`` is a Serve
config in a string), RayJobs (whose ``runtimeEnvYAML`` is a runtime environment
in a string), RayCronJobs (whose ``jobTemplate`` is a RayJob), and other
documents, which are left alone. Nothing but the hash changes, down to the byte.
"""

from __future__ import annotations

import os
import re
import stat

from lazyimport.deploy.errors import DeployError, ManifestError
from lazyimport.deploy.yamltext import (
    YamlText,
    entry,
    find,
    is_mapping,
    is_null,
    items,
    plain,
    text_of,
    walk,
)
from lazyimport.files import AtomicFile
from lazyimport.settings import check_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazyimport.deploy.yamltext import Edit, Node

__all__ = ["CRON_JOB", "JOB", "SERVE", "SERVICE", "Application", "Manifest"]

SERVE, SERVICE = "Serve config", "RayService"
JOB, CRON_JOB = "RayJob", "RayCronJob"
VARIABLE = "LAZYIMPORT_HASH"
_ASSIGNED = re.compile(rf"\b{VARIABLE}=")
#: where import paths of a deployment or application are run in the controller or
#: the proxies, not in a replica
_BY_VALUE = (
    ("autoscaling_policy", "policy_function"),
    ("autoscaling_config", "policy", "policy_function"),
    ("request_router_config", "request_router_class"),
)


class Application:
    """One thing in a manifest that runs an archive.

    ``name``
        of the Serve application, or of the RayJob or RayCronJob; where Kubernetes
        makes up the name of a job, what that begins with.
    ``kind``
        `SERVE`, `SERVICE`, `JOB` or `CRON_JOB`.
    ``resource``
        Name and namespace (or None) of the Kubernetes object; None for a Serve
        config.
    ``line``
        Where it begins, counted from 1.
    ``hash``
        As the manifest has it, or None where it names none.
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
        line: int,
        place: _Place | _NewEnvironment,
        node: Node,
    ) -> None:
        self.kind = kind
        self.name = name
        self.resource = resource
        self.line = line
        self.text = place.text
        self.place = place
        self.import_path = text_of(entry(node, "import_path"))
        self.by_value = tuple(_by_value(node))
        self._node = node

    @property
    def hash(self) -> str | None:
        """The hash as the manifest has it, or None."""
        return text_of(self.place.node) or None

    @property
    def store(self) -> str | None:
        """The store that the manifest names, or None: each node has its own."""
        environment = self.place.environment
        variable = find(environment, "env_vars", "LAZYIMPORT_STORE")
        return text_of(find(environment, "lazyimport", "store") or variable)

    def edit(self, hash: str) -> Edit:
        """Return the edit of the file that makes this application run *hash*.

        Raises ManifestError if something else in the manifest would win over it.
        """
        for text, node in self._rivals():
            raise self.place.text.error(node, text)
        return self.place.edit(hash)

    def _rivals(self) -> Iterator[tuple[str, Node]]:
        place = self.place
        for node in place.nodes():
            if place.text.is_shared(node):
                yield (
                    (
                        "this is an anchor, and whatever else refers to it would get the "
                        f"hash of {self.name!r} too; write it out"
                    ),
                    node,
                )
        parent = place.parent
        found = [key for name, key, _ in items(parent) if name == place.path[-1]]
        if len(found) > 1:
            first = place.text.line(found[0])
            yield (
                f"{place.path[-1]} is here a second time, after line {first}",
                found[1],
            )
        variable = find(place.environment, "env_vars", VARIABLE)
        if variable is not None and variable is not place.node:
            yield (
                (
                    f"{VARIABLE} is set here, and runtime_env.lazyimport names a hash as "
                    "well; keep one of them"
                ),
                variable,
            )
        executable = entry(place.environment, "py_executable")
        if _ASSIGNED.search(text_of(executable) or ""):
            yield f"py_executable sets {VARIABLE}, which would win", executable
        entrypoint = entry(self._node, "entrypoint")
        if _ASSIGNED.search(text_of(entrypoint) or ""):
            yield f"the entrypoint sets {VARIABLE}, which would win", entrypoint
        yield from self._own_hashes()

    def _own_hashes(self) -> Iterator[tuple[str, Node]]:
        """Yield the hashes of single deployments."""
        for deployment in _sequence(entry(self._node, "deployments")):
            own = find(deployment, "ray_actor_options", "runtime_env")
            hash = find(own, "env_vars", VARIABLE) or find(own, "lazyimport")
            if hash is not None:
                yield (
                    (
                        f"deployment {text_of(entry(deployment, 'name'))!r} names a hash "
                        "of its own: classes of one archive would run with the modules of "
                        "another; remove it, the application's counts for every deployment"
                    ),
                    hash,
                )


class _Place:
    """Where the hash stands or will stand: under *path*, from *node* on."""

    def __init__(self, text: YamlText, node: Node, path: tuple[str, ...]) -> None:
        self.text = text
        self.path = path
        self.environment = find(node, *path[:-2])
        self.parent = find(node, *path[:-1])
        self.node = find(node, *path)
        self._root = node

    def nodes(self) -> Iterator[Node]:
        """Yield what is there on the way to the hash, and the hash."""
        for depth in range(len(self.path) + 1):
            node = find(self._root, *self.path[:depth])
            if node is not None:
                yield node

    def edit(self, hash: str) -> Edit:
        """Return the edit of the file that puts *hash* here."""
        owner = self._root
        for depth, key in enumerate(self.path):
            if not is_mapping(owner) or not (owner.value or owner.flow_style):
                where = ".".join(self.path[:depth])
                raise self.text.error(owner, f"{where or 'this'} must be a mapping")
            node = entry(owner, key)
            if node is None:
                if entry(owner, "<<") is not None and key != self.path[-1]:
                    raise self.text.error(
                        owner,
                        f"{key} may come from what is merged here (<<), and another "
                        "one would replace it as a whole; write it out",
                    )
                return self.text.insert(owner, self.path[depth:], hash, "import_path")
            if is_null(node):
                return self.text.fill(node, self.path[depth + 1 :], hash)
            owner = node
        if text_of(owner) is None:
            raise self.text.error(owner, f"{'.'.join(self.path)} must be a string")
        return self.text.replace(owner, hash)


class _NewEnvironment:
    """The place of the hash in a job that has no ``runtimeEnvYAML``."""

    path = ("runtimeEnvYAML", "env_vars", VARIABLE)
    environment = parent = node = None

    def __init__(self, text: YamlText, spec: Node) -> None:
        self.text = text
        self._spec = spec

    def nodes(self) -> Iterator[Node]:
        """Yield what is there on the way to the hash."""
        yield self._spec

    def edit(self, hash: str) -> Edit:
        """Return the edit of the file that puts *hash* here."""
        lines = ["env_vars:", f'  {VARIABLE}: "{hash}"']
        return self.text.insert_text(
            self._spec, "runtimeEnvYAML", lines, after="entrypoint"
        )


class Manifest:
    """A manifest, *text* as the file *path* holds it.

    ``applications`` are what can run an archive, in the order of the file;
    ``warnings`` are for people; ``generates_names`` is whether Kubernetes makes up
    the name of everything in it, each time anew.

    Raises ManifestError for what is not YAML, and for a file that holds nothing
    that could run an archive.
    """

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.applications: list[Application] = []
        self.warnings: list[str] = []
        self._yaml = YamlText(text, path)
        kinds = []
        objects = filter(is_mapping, self._yaml.documents)
        self.generates_names = all(map(_is_generated, objects))
        for document in self._yaml.documents:
            kinds.append(text_of(entry(document, "kind")) or "no kind of ours")
            self.applications += _applications(self._yaml, document)
            self.warnings += self._pods(document)
        if not self.applications:
            raise ManifestError(
                f"{path}: nothing in it can run an archive (found: "
                f"{', '.join(kinds) or 'no document'}); expected a Serve config with "
                "applications, a RayService with a serveConfigV2, a RayJob or a RayCronJob",
                path=path,
                line=1,
            )

    @classmethod
    def read(cls, path: str) -> Manifest:
        """Return the manifest in a file. Raises ManifestError or OSError."""
        with open(path, "rb") as file:
            data = file.read()
        try:
            return cls(data.decode(), path)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ManifestError(
                f"{path}:{line}: not UTF-8", path=path, line=line
            ) from error

    def choose(self, names: Sequence[str]) -> list[Application]:
        """Return the applications called *names*; without names, the only one.

        Raises DeployError where there is no such one, or a choice.
        """
        listed = ", ".join(f"{a.name} (line {a.line})" for a in self.applications)
        if not names:
            if len(self.applications) > 1:
                raise DeployError(
                    f"{self.path} has {len(self.applications)} applications: {listed}; "
                    "say which with --app NAME"
                )
            return self.applications
        chosen = []
        for name in names:
            found = [a for a in self.applications if a.name == name]
            if len(found) != 1:
                how_many = "no" if not found else str(len(found))
                raise DeployError(
                    f"{self.path} has {how_many} application {name!r}; it has {listed}"
                )
            chosen += found
        return chosen

    def with_hash(self, hash: str, names: Sequence[str] = ()) -> Manifest:
        """Return the manifest in which the applications *names* run *hash*.

        All else is the same to the byte. Raises ManifestError where something in
        the manifest contradicts it, DeployError as `choose` does, SettingsError
        for what is no hash.
        """
        hash = check_hash(hash)
        manifest = self
        for name in [application.name for application in self.choose(names)]:
            application = manifest.choose([name])[0]
            if application.hash != hash:
                edit = application.edit(hash)
                manifest = Manifest(edit.apply(manifest.text), self.path)
                manifest.choose([name])[0].edit(hash)  # still without a rival
            else:
                application.edit(hash)
        self._prove(manifest, hash, names)
        return manifest

    def write(self) -> None:
        """Replace the file by this manifest, whole or not at all."""
        path = os.path.realpath(self.path)  # a link stays one
        with AtomicFile(path, stat.S_IMODE(os.stat(path).st_mode)) as file:
            file.write(self.text.encode())

    def serve_configs(self) -> list[object]:
        """Return the values of the Serve configs in it, those of RayServices too."""
        texts = {id(a.text): a.text for a in self.applications if a.kind == SERVICE}
        found = [value for text in texts.values() for value in text.values()]
        if any(a.kind == SERVE for a in self.applications):
            found += [
                value
                for value in self._yaml.values()
                if isinstance(value, dict) and "applications" in value
            ]
        return found

    def _prove(self, after: Manifest, hash: str, names: Sequence[str]) -> None:
        """Check, by what was read again, that the hash is there and nothing else."""
        done = all(a.hash == hash for a in after.choose(names))
        if not done or self._without(names) != after._without(names):
            raise ManifestError(
                f"{self.path} is written in a way that lazyimport cannot edit safely; "
                f"set {VARIABLE} to {hash} by hand",
                path=self.path,
                line=1,
            )

    def _without(self, names: Sequence[str]) -> list[object]:
        """Return what the manifest means, without the hashes of *names*."""
        skipped = {id(a.place.node) for a in self.choose(names)}
        inner = {id(a.text.scalar): a.text.documents for a in self.applications}
        return [plain(node, skipped, inner) for node in self._yaml.documents]

    def _pods(self, document: Node) -> Iterator[str]:
        """Yield a warning for each pod whose environment names a hash."""
        for node in walk(document):
            if text_of(entry(node, "name")) == VARIABLE:
                yield (
                    f"{self.path}:{self._yaml.line(node)}: a pod names a hash: what "
                    "runs without a runtime_env runs that one, and KubeRay makes a "
                    "new cluster when it changes; better remove it there"
                )


def _is_generated(document: Node) -> bool:
    metadata = entry(document, "metadata")
    return bool(entry(metadata, "generateName")) and not entry(metadata, "name")


def _applications(text: YamlText, document: Node) -> Iterator[Application]:
    kind = text_of(entry(document, "kind"))
    metadata = entry(document, "metadata")
    name = text_of(entry(metadata, "name")) or text_of(entry(metadata, "generateName"))
    resource = name or "", text_of(entry(metadata, "namespace"))
    spec = entry(document, "spec")
    if kind == SERVICE:
        config = entry(spec, "serveConfigV2")
        if text_of(config) is not None:
            inner = text.inside(config)
            for root in inner.documents[:1]:
                for node in _served_in(root):
                    yield _served(SERVICE, inner, node, resource)
    elif kind in (JOB, CRON_JOB):
        job = spec if kind == JOB else entry(spec, "jobTemplate")
        if job is not None and is_mapping(job):
            yield _job(kind, text, job, resource)
    elif kind is None:
        for node in _served_in(document):
            yield _served(SERVE, text, node, None)


def _served_in(config: Node) -> list[Node]:
    return [n for n in _sequence(entry(config, "applications")) if is_mapping(n)]


def _served(
    kind: str, text: YamlText, node: Node, resource: tuple[str, str | None] | None
) -> Application:
    path = ("runtime_env", *_path_in(entry(node, "runtime_env")))
    name = text_of(entry(node, "name")) or "default"
    place = _Place(text, node, path)
    return Application(kind, name, resource, text.line(node), place, node)


def _job(
    kind: str, text: YamlText, spec: Node, resource: tuple[str, str | None]
) -> Application:
    environment = entry(spec, "runtimeEnvYAML")
    place: _Place | _NewEnvironment = _NewEnvironment(text, spec)
    if environment is not None:
        if text_of(environment) is None:
            raise text.error(
                environment, "runtimeEnvYAML must be a string of YAML; write | after it"
            )
        inner = text.inside(environment)
        if not inner.documents:
            raise text.error(environment, "runtimeEnvYAML is empty; remove it")
        place = _Place(inner, inner.documents[0], _path_in(inner.documents[0]))
    return Application(kind, resource[0], resource, text.line(spec), place, spec)


def _path_in(environment: Node | None) -> tuple[str, str]:
    """Return where a runtime environment names its hash, or would."""
    if find(environment, "lazyimport", "hash") is not None:
        return "lazyimport", "hash"  # the field of our plugin, where it is in use
    return "env_vars", VARIABLE


def _by_value(application: Node) -> Iterator[str]:
    for node in (application, *_sequence(entry(application, "deployments"))):
        for path in _BY_VALUE:
            text = text_of(find(node, *path))
            if text:
                yield text


def _sequence(node: Node | None) -> Sequence[Node]:
    """Return the items of a sequence; of anything else, none."""
    if node is None or isinstance(node.value, str) or is_mapping(node):
        return ()
    found: list[Node] = node.value
    return found
