"""Hashes at a key: in the values of a Helm chart, in a kustomization, in any YAML."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lazyimport.deploy.application import Application, Place
from lazyimport.deploy.errors import ManifestError
from lazyimport.deploy.manifest import Manifest, read_text
from lazyimport.deploy.nodes import Node, find, sequence, text_of
from lazyimport.errors import SettingsError
from lazyimport.values import is_sha256

#: the kind of an application whose manifest another tool renders
KEYED = "key"
_PART = re.compile(r"(?:(?:^|\.)((?:\\.|[^][.\\])+))|\[([^][]+)\]")


class KeyedManifest(Manifest):
    r"""A YAML file in which the hash of the application *app* stands at *key*.

    A key is names with dots between them, ``image.hash``, a dot in a name written
    ``\.``. In brackets follows which item of a list is meant: ``[0]`` is the first,
    ``[name=X]`` the one whose ``name`` is X, and ``[X]`` a text ``X=...``, in which the
    hash stands behind the sign.

    Raises ManifestError if nothing stands there, SettingsError for what is no key.
    """

    def __init__(self, text: str, path: str, key: str, app: str) -> None:
        self.key = key
        self._app = app
        super().__init__(text, path)

    @classmethod
    def at(cls, path: str, key: str, app: str) -> KeyedManifest:
        """Return the manifest in a file. Raises OSError too."""
        return cls(read_text(path), path, key, app)

    def with_text(self, text: str) -> Manifest:
        """Return the manifest that the file would be with *text*."""
        if text == self.text:
            return self
        return KeyedManifest(text, self.path, self.key, self._app)

    def _read(self) -> None:
        documents = self._yaml.documents
        places = [(node, self._place(node)) for node in documents]
        found = [(node, place) for node, place in places if place is not None]
        if len(found) != 1:
            where = f"{len(found)} of its documents have" if found else "nothing is at"
            raise ManifestError(
                f"{self.path}: {where} {self.key!r}; lazyimport changes what stands "
                "there, and adds no key that nobody may read",
                path=self.path,
                line=1,
            )
        ((document, place),) = found
        app = Application(KEYED, self._app, None, self._yaml, document, place)
        text = (text_of(app.nodes[0]) or "").removeprefix(place.value[: -len("{}")])
        app.hash = text.lower() if is_sha256(text) else None
        app.line = self._yaml.line(app.nodes[0])
        self.applications = [app]

    def _place(self, document: Node) -> Place | None:
        """Return where the key leads in a document, None if nowhere."""
        root, path, value = document, list[str](), "{}"
        for name, item in _parts(self.key):
            if name:
                path.append(name)
                continue
            items = sequence(find(root, *path))
            root = next((one for one in items if _is(one, item, items)), None)
            path, is_text = [], not (item.isdecimal() or "=" in item)
            value = f"{item}={{}}" if is_text else "{}"
        there = root is not None and find(root, *path) is not None
        return Place(self._yaml, root, tuple(path), None, value) if there else None


def _parts(key: str) -> list[tuple[str, str]]:
    """Return names and items of lists; one of both is empty."""
    parts = [(m[1] or "", m[2] or "") for m in _PART.finditer(key)]
    if (
        not parts
        or "".join(m[0] for m in _PART.finditer(key)) != key
        or not parts[0][0]
    ):
        raise SettingsError(
            f"not a key: {key!r} (names with dots between them, and in brackets which "
            "item of a list: image.hash, env[name=LAZYIMPORT_HASH].value)",
            name="set_key",
            value=key,
        )
    return [(re.sub(r"\\(.)", r"\1", name), item) for name, item in parts]


def _is(node: Node, item: str, items: Sequence[Node]) -> bool:
    """Whether *node* is the one of *items* that *item* names."""
    name, equals, value = item.partition("=")
    if equals:
        return text_of(find(node, name)) == value
    if item.isdecimal():
        return int(item) < len(items) and items[int(item)] is node
    return (text_of(node) or "").startswith(f"{item}=")
