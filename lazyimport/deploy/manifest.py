"""Manifests: which hash the applications of a YAML file run, and setting another.

A file may hold Serve configs, RayServices (whose ``serveConfigV2`` is a Serve
config in a string), RayJobs (whose ``runtimeEnvYAML`` is a runtime environment
in a string), RayCronJobs (whose ``jobTemplate`` is a RayJob), and other
documents, which are left alone. Nothing but the hash changes, down to the byte.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence

from lazyimport.deploy.application import VARIABLE, Application, applications_in
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError, ManifestError
from lazyimport.deploy.git import name_of
from lazyimport.deploy.nodes import Node, find, is_mapping, meaning, text_of, walk
from lazyimport.deploy.yamltext import YamlText
from lazyimport.files import AtomicFile
from lazyimport.regular import open_regular
from lazyimport.values import check_hash


class Manifest:
    """A manifest: the *text* of the file *path*.

    ``applications`` are what can run an archive, in the order of the file;
    ``warnings`` are for people; ``generates_names`` is whether Kubernetes makes up
    a new name for each of its objects whenever they are created.

    Raises ManifestError for what is not YAML, and for a file that holds nothing
    that could run an archive.
    """

    #: where its hash stands, if `--set-key` named that
    key: str = ""
    #: where `write` lets it run at once; None for a file
    cluster: Cluster | None = None

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self._yaml = YamlText(text, path)
        documents = self._yaml.documents
        self.generates_names = all(map(_is_generated, filter(is_mapping, documents)))
        self.applications: list[Application] = []
        self.warnings: list[str] = []
        self._read()

    def _read(self) -> None:
        """Find the applications, and what to warn of."""
        documents = self._yaml.documents
        for document in documents:
            self.applications += applications_in(self._yaml, document)
            self.warnings += self._pods(document)
        if not self.applications:
            kinds = [text_of(find(d, "kind")) or "no kind of ours" for d in documents]
            raise ManifestError(
                f"{self.path}: nothing in it can run an archive (found: "
                f"{', '.join(kinds) or 'no document'}); expected a Serve config with "
                "applications, a RayService with a serveConfigV2, a RayJob or a "
                "RayCronJob; for Helm and kustomize, name the key with --set-key",
                path=self.path,
                line=1,
            )

    @classmethod
    def read(cls, path: str) -> Manifest:
        """Return the manifest in a file. Raises ManifestError or OSError."""
        return cls(read_text(path), path)

    def fresh(self) -> Manifest:
        """Return the manifest as its file is now: this one if nobody changed it."""
        return self.with_text(read_text(self.path))

    @property
    def name(self) -> str:
        """What `Deployment.manifest` says of it."""
        return name_of(self.path)

    def with_text(self, text: str) -> Manifest:
        """Return the manifest that the file would be with *text*."""
        return self if text == self.text else Manifest(text, self.path)

    def choose(self, names: Sequence[str]) -> list[Application]:
        """Return the applications called *names*; without names, the only one.

        Raises DeployError if a name fits none or several, or if there is more than
        one application and no name.
        """
        if not names and len(self.applications) == 1:
            return self.applications
        listed = ", ".join(f"{a.name} (line {a.line})" for a in self.applications)
        if not names:
            raise DeployError(
                f"{self.path} has {len(self.applications)} applications: {listed}; "
                "say which with --app NAME"
            )
        chosen = []
        for name in names:
            found = [a for a in self.applications if a.name == name]
            if len(found) != 1:
                raise DeployError(
                    f"{self.path} has {len(found) or 'no'} application {name!r}; it "
                    f"has {listed}"
                )
            chosen += found
        return chosen

    def with_hash(self, hash: str, names: Sequence[str] = ()) -> Manifest:
        """Return the manifest in which the applications *names* run *hash*.

        All else is the same to the byte. Raises ManifestError if something in the
        manifest contradicts it, DeployError as `choose` does, and SettingsError for
        what is no hash.
        """
        hash = check_hash(hash)
        manifest = self
        chosen = self.choose(names)
        for application in chosen:
            application.check()
        for name in [application.name for application in chosen]:
            while edit := manifest.choose([name])[0].edit(hash):
                manifest = manifest.with_text(edit.apply(manifest.text))
        self._prove(manifest, hash, names)
        return manifest

    def write(self) -> None:
        """Replace the file by this manifest, whole or not at all."""
        path = os.path.realpath(self.path)  # a link stays one
        with AtomicFile(path, stat.S_IMODE(os.stat(path).st_mode)) as file:
            file.write(self.text.encode())

    def serve_config(self) -> object:
        """Return the Serve config in it, to `Cluster.apply`.

        Raises DeployError unless there is exactly one: a cluster runs one.
        """
        configs = [
            value
            for value in self._yaml.values()
            if isinstance(value, dict) and "applications" in value
        ]
        if len(configs) != 1:
            raise DeployError(
                f"{self.path} has {len(configs)} Serve configs, and a cluster runs "
                "one; put their applications into one"
            )
        return configs[0]

    def _prove(self, after: Manifest, hash: str, names: Sequence[str]) -> None:
        """Check, by what was read again, that the hash is there and nothing else."""
        chosen = after.choose(names)
        for application in chosen:
            application.check()  # still without a rival
        done = all(application.edit(hash) is None for application in chosen)
        if not done or self._without(names) != after._without(names):
            raise ManifestError(
                f"{self.path} is written in a way that lazyimport cannot edit safely; "
                f"set {VARIABLE} to {hash} by hand",
                path=self.path,
                line=1,
            )

    def _without(self, names: Sequence[str]) -> list[object]:
        """Return what the manifest means, without the hashes of *names*."""
        skipped = {id(node) for app in self.choose(names) for node in app.nodes}
        texts = [application.place.text for application in self.applications]
        inner = {id(text.scalar): text.documents for text in texts}
        return [meaning(node, skipped, inner) for node in self._yaml.documents]

    def _pods(self, document: Node) -> Iterator[str]:
        """Yield a warning for each pod whose environment names a hash."""
        for node in walk(document):
            if text_of(find(node, "name")) == VARIABLE:
                yield (
                    f"{self.path}:{self._yaml.line(node)}: a pod names a hash: what "
                    "runs without a runtime_env runs that one, and KubeRay makes a "
                    "new cluster when it changes; better remove it there"
                )


class ClusterManifest(Manifest):
    """The config that Serve runs in *cluster*: `write` gives it back, changed.

    *name* is that of the manifest by which it was deployed, "" if that is unknown.
    """

    cluster: Cluster
    name = ""

    def __init__(self, cluster: Cluster, name: str = "", text: str = "") -> None:
        text = text or json.dumps(cluster.config(), indent=1, ensure_ascii=False)
        super().__init__(text, cluster.address)
        self.cluster = cluster
        self.name = name

    def fresh(self) -> Manifest:
        """Return what the cluster runs now."""
        fresh = ClusterManifest(self.cluster, self.name)
        return self if fresh.text == self.text else fresh

    def write(self) -> None:
        """Let the cluster run this. Raises DeployError."""
        self.cluster.apply(self.serve_config())

    def serve_config(self) -> object:
        """Return the config, which is JSON: YAML has other numbers."""
        return json.loads(self.text)

    def with_text(self, text: str) -> Manifest:
        """Return the manifest with another text."""
        return ClusterManifest(self.cluster, self.name, text)


def read_text(path: str) -> str:
    """Return the text of a file. Raises ManifestError or OSError."""
    with open(path, "rb", opener=open_regular) as file:
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{path}:{line}: not UTF-8", path=path, line=line
        ) from error


def _is_generated(document: Node) -> bool:
    metadata = find(document, "metadata")
    return bool(find(metadata, "generateName")) and not find(metadata, "name")
