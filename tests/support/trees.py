"""Trees for tests: a dict of paths to texts becomes an archive in memory.

``make_archive({"pkg/__init__.py": "x = 1"})`` returns its bytes and its hash, with
bytecode for the running Python. `Tree` is for tests that need the single parts.
"""

from __future__ import annotations

import io
import marshal
import sys
from collections import defaultdict
from importlib.util import MAGIC_NUMBER

from lazyimport.format import sha256
from lazyimport.format.build import build_index
from lazyimport.format.delta import write_delta
from lazyimport.format.entries import DIRECTORY, FILE, Code, Entry, Variant, listing_of
from lazyimport.format.index import ALL_MINORS, Index
from lazyimport.format.writer import encode_notes, write_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

    Files: TypeAlias = Mapping[str, str | bytes]
    #: from source and variant to marshaled code, or None for no bytecode
    Compile: TypeAlias = Callable[[bytes, Variant], bytes | None]


def running_variant() -> Variant:
    """Return the variant of bytecode that this Python runs."""
    tag = sys.implementation.cache_tag
    assert tag is not None
    return Variant(tag, MAGIC_NUMBER, sys.flags.optimize)


def compile_here(source: bytes, variant: Variant) -> bytes | None:
    """Compile with the running Python, whichever Python *variant* names."""
    try:
        code = compile(
            source, "<lazyimport>", "exec", 0, True, optimize=variant.optimization
        )
    except (SyntaxError, ValueError):
        return None
    return marshal.dumps(code)


class Tree:
    """The parts of an archive of *files*: entries, and bytes by digest.

    *files* maps paths to contents; directories follow from the paths. *flags* maps
    paths of files and directories to flags. Sources get bytecode for each of
    *variants*, by default for the running Python only.
    """

    def __init__(
        self,
        files: Files,
        *,
        flags: Mapping[str, int] | None = None,
        variants: Sequence[Variant] | None = None,
        compiler: Compile = compile_here,
        minors: int = ALL_MINORS,
    ) -> None:
        flags = flags or {}
        self.files = {path: _bytes(text) for path, text in files.items()}
        self.variants = [running_variant()] if variants is None else list(variants)
        self.variants.sort(key=Variant.encode)
        self.minors = minors
        self.blobs: dict[bytes, bytes] = {}
        self.entries: list[Entry] = []
        self.listings = _listings(self.files)
        for path, content in self.files.items():
            entry = Entry(
                path, len(content), self._put(content), flags=flags.get(path, 0)
            )
            if path.endswith(".py"):
                entry = entry.with_codes(self._codes(content, compiler))
            self.entries.append(entry)
        for path, listing in self.listings.items():
            digest = self._put(listing)
            bits = flags.get(path, 0)
            self.entries.append(Entry(path, len(listing), digest, DIRECTORY, bits))

    def index(self) -> Index:
        """Return the index."""
        return build_index(self.entries, self.variants, self.minors)

    def archive(self, **options: Any) -> tuple[bytes, str]:
        """Return the archive's bytes and its hash; *options* are `write_archive`'s."""
        index = self.index()
        out = io.BytesIO()
        write_archive(out, index, self.blobs.__getitem__, **options)
        return out.getvalue(), index.hash

    def delta(self, base: Index, **options: Any) -> tuple[bytes, str] | None:
        """Return a delta to *base* and its hash, or None if no delta can be made."""
        index = self.index()
        out = io.BytesIO()
        if write_delta(out, base, index, self.blobs.__getitem__, **options) is None:
            return None
        return out.getvalue(), index.hash

    def _put(self, data: bytes) -> bytes:
        digest = sha256(data)
        self.blobs[digest] = data
        return digest

    def _codes(self, source: bytes, compiler: Compile) -> dict[int, Code]:
        codes = {}
        for number, variant in enumerate(self.variants):
            data = compiler(source, variant)
            if data is not None:
                codes[number] = Code(len(data), self._put(data))
        return codes


def make_archive(
    files: Files,
    *,
    raw: bool = True,
    notes: dict[str, object] | None = None,
    first: Sequence[bytes] = (),
    **tree: Any,
) -> tuple[bytes, str]:
    """Return the bytes of an archive of *files* and its hash; *tree* is for `Tree`."""
    return Tree(files, **tree).archive(
        raw=raw, first=first, notes=b"" if notes is None else encode_notes(notes)
    )


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _listings(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the listing of every directory that *files* imply, including the root."""
    children: dict[str, dict[str, int]] = defaultdict(dict)
    children[""] = {}
    for path in files:
        rest, kind = path, FILE
        while rest:
            folder, _, name = rest.rpartition("/")
            children[folder][name] = kind
            rest, kind = folder, DIRECTORY
    return {path: listing_of(names.items()) for path, names in children.items()}
