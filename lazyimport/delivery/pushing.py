"""Pushing in one call: `push` packs, checks, publishes, signs and points a channel."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from lazyimport.cache.blobs import take_out
from lazyimport.cache.node import NodeCache
from lazyimport.cache.sealed import map_file
from lazyimport.delivery.publish import Published, publish
from lazyimport.errors import ArchiveError, SettingsError, StoreError
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision
from lazyimport.format.sections import MAGIC, open_header
from lazyimport.format.writer import recode
from lazyimport.lazy import traced
from lazyimport.packing.layout import choose_roots
from lazyimport.packing.options import PackOptions
from lazyimport.packing.packer import pack
from lazyimport.packing.roots import Packed
from lazyimport.registry.channel import Channel
from lazyimport.registry.channels import set_channel
from lazyimport.registry.opening import store_of
from lazyimport.registry.provenance import (
    Provenance,
    builder,
    commit_in,
    own_version,
    write_provenance,
)
from lazyimport.registry.signer import Signer, sign_archive
from lazyimport.registry.signing import Trusted
from lazyimport.reporting import SILENT, Reporter
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore, mutable, writable
from lazyimport.stores.artifact import is_artifact
from lazyimport.tracing import note
from lazyimport.values import check_channel, redact


class Pushed(NamedTuple):
    """What `push` did.

    ``published`` says what was sent to the ``store`` (URL) in so many ``seconds``;
    ``packed`` what was packed, None for the file of an archive; ``channel`` the
    channel as it is now, None if none was to be set.
    """

    hash: str
    published: Published
    store: str
    seconds: float
    packed: Packed | None
    channel: Channel | None


#: Takes the hash of what was packed, and that; None for the file of an archive.
Tell: TypeAlias = "Callable[[str, Packed | None], object]"


def _silent(_: str, __: Packed | None) -> None:
    pass


@traced("push")
def push(
    roots: Sequence[str | os.PathLike[str]],
    settings: Settings,
    options: PackOptions | None = None,
    *,
    check: Callable[[str], object] | None = None,
    entries: Sequence[str] = (),
    tell: Tell = _silent,
    signer: Signer | None = None,
    channel: str | None = None,
    message: str = "",
    valid_for: int | None = None,
    environ: Mapping[str, str] | None = None,
    store: ReadStore | None = None,
    reporter: Reporter = SILENT,
) -> Pushed:
    """Pack *roots* as `lazyimport.packing.pack` does, and put the archive in the store.

    In place of them, *roots* may be one file that ``lazyimport pack --output`` wrote.
    The store is the one of *settings*, *store* if it is open already; it is sent the
    difference to an archive that it has, where that is small enough, but the whole if
    *options* name a profile to order it by. *tell* is called with the hash and what was
    packed, None for the file of an archive, and then *check* with the hash, before
    anything is sent, with the archive whole in the node cache; it may raise. *entries*
    is as `lazyimport.packing.pack` takes it. *signer* signs the archive, and the change
    that points *channel* to it, for which *message* is the reason; that counts for
    *valid_for* seconds, as `set_channel` says.

    With *environ*, the environment of the process, it is recorded in the store where
    the archive comes from. If that fails, *reporter* is warned.

    Raises what `lazyimport.packing.pack` does; SettingsError if no store is named;
    ArchiveError for a damaged file; StoreError, ChannelError or SignatureError.
    """
    if channel is not None:
        check_channel(channel)
    store = writable(store or store_of(settings, "to push to"))
    places = choose_roots(roots)
    file = archive_file(places)
    asked = [] if environ is None or file or any(map(is_artifact, places)) else places
    with Provenance(asked, environ or {}) as provenance:
        revision, packed = prepare(
            places, settings, options, check, reporter, entries, tell
        )
        started = time.perf_counter()
        reporter.step(f"sending to {store.url}")

        origin: dict[str, object] = {}

        def beside() -> None:
            if environ is not None:
                pythons = [variant.python for variant in revision.index.variants]
                origin.update(provenance.facts(own_version(), pythons))
                try:
                    write_provenance(store, revision.hash, origin)
                except StoreError as error:
                    text = "the archive is there, its provenance is not"
                    reporter.warn(f"{text}: {error}")
            if signer is not None:
                sign_archive(store, revision.hash, signer)

        cache = NodeCache(settings.cache_dir)
        whole = options is not None and options.profile != ()
        published = publish(revision, store, cache, reporter, beside, whole=whole)
        if packed is not None and published.kind == "full":
            packed.rebase()  # the next push has it as its base here, too
    seconds = time.perf_counter() - started
    note(hash=published.hash, kind=published.kind, store=redact(store.url))
    pointed = None
    if channel is not None:
        pointed = set_channel(
            mutable(store),
            channel,
            published.hash,
            by=builder(environ or {}),
            message=message,
            commit=commit_in(origin),  # of this checkout, not what the store says
            valid_for=valid_for,
            signer=signer,
            trusted=Trusted.of(settings),
        )
    return Pushed(published.hash, published, store.url, seconds, packed, pointed)


def prepare(
    roots: Sequence[str | os.PathLike[str]],
    settings: Settings,
    options: PackOptions | None = None,
    check: Callable[[str], object] | None = None,
    reporter: Reporter = SILENT,
    entries: Sequence[str] = (),
    tell: Tell = _silent,
) -> tuple[Revision, Packed | None]:
    """Do what `push` does before anything is sent.

    Returns what would be sent, and what was packed, None for the file of an archive.
    Raises as `push` does.
    """
    places = choose_roots(roots)
    file = archive_file(places)
    if file is not None:
        packed, revision = None, _revision_in(file, settings)
    else:
        whole = check is not None
        packed = pack(
            places, settings, options, whole=whole, entries=entries, reporter=reporter
        )
        revision = packed.revision
    tell(revision.hash, packed)
    if check is not None:
        check(revision.hash)
    return revision, packed


def archive_file(places: Sequence[str]) -> str | None:
    """Return the file among *places* that is an archive, None if there is none.

    Raises SettingsError unless it is alone.
    """
    for place in places:
        if os.path.isfile(place):
            with open(place, "rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    continue
            if len(places) > 1:
                raise SettingsError(
                    f"{place} is an archive: push it alone, without other roots",
                    name="roots",
                    value=places,
                )
            return place
    return None


def _revision_in(path: str, settings: Settings) -> Revision:
    """Take the archive in the file *path* into the node cache, proved in full."""
    cache = NodeCache(settings.cache_dir)
    try:
        with open(path, "rb") as file:
            buffer = map_file(file, path)
        name = open_header(buffer, None, path).hash
        brought = Archive(buffer, name, path)
        with cache.lock(name, settings.timeout):
            brought.blob = cache.read_blob
            blobs = take_out(brought, cache)
            archive = cache.publish(
                name, lambda out: recode(brought, out, raw=True, blobs=blobs)
            )
    except ArchiveError as error:
        raise error.with_text(
            f"{error}; copy the file again from where it was packed, or pack it again, "
            "and push that: nothing was sent"
        ) from error.__cause__
    return Revision(archive)
