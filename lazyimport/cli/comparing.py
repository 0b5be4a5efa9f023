"""What ``diff``, ``deploy --diff`` and ``report`` share: archives, what differs."""

from __future__ import annotations

import os
from collections import Counter

import click

from lazyimport.cli import console
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.delivery.comparing import Comparison
from lazyimport.delivery.lookup import resolve
from lazyimport.deploy import Cluster, History, Manifest
from lazyimport.errors import ChannelError, SettingsError
from lazyimport.registry.opening import store_of
from lazyimport.registry.signing import Trusted
from lazyimport.settings import Settings

#: How manifests end.
MANIFESTS = (".yaml", ".yml", ".json")
_HEADER = ("CHANGE", "BEFORE", "AFTER", "PATH", "MODULE")


def named_archive(
    text: str, settings: Settings, reporter: Progress, cluster: Cluster | None = None
) -> str:
    """Return the hash that *text* stands for.

    It may also be a manifest that names an archive, or an application: what runs is
    what *cluster* says, by default the record of deployments.
    """
    if not (text.endswith(MANIFESTS) and os.path.isfile(text)):
        try:
            return resolve(text, settings, reporter=reporter)
        except (ChannelError, SettingsError):
            running = _running(text, settings, reporter, cluster)
            if running is None:
                raise
            return running
    hashes = {app.hash for app in Manifest.read(text).applications} - {None}
    if len(hashes) != 1:
        many = f"{len(hashes)} archives" if hashes else "no archive by all 64 digits"
        raise click.UsageError(f"{text} names {many}: give the hash")
    return str(hashes.pop())


def _running(
    name: str, settings: Settings, reporter: Progress, cluster: Cluster | None
) -> str | None:
    """Return the archive that the application *name* runs, None if nobody knows it."""
    if cluster is not None:
        app = cluster.running().get(name)
        hashes = sorted(filter(None, app.serving)) if app else []
        if len(hashes) > 1:
            raise click.UsageError(
                f"application {name!r} runs several archives now: {', '.join(hashes)}"
            )
        who = cluster.address
    else:
        store = store_of(settings) if settings.store else None
        trusted = Trusted.of(settings)
        history = History(settings.cache_dir, store, trusted=trusted)
        ran = [d for d in history.deployments(name) if d.outcome == "running"]
        hashes = [d.hash for d in ran if d.trusted][:1]
        who = "the record of deployments (--address asks the cluster)"
    if not hashes:
        return None
    reporter.say(f"application {name!r} runs {hashes[0]}, says {who}")
    return hashes[0]


def print_comparison(found: Comparison, reporter: Progress) -> None:
    """Print the files that differ on stdout, and say how many."""
    rows = [
        [f"{cell:,}" if isinstance(cell, int) else cell or "" for cell in change]
        for change in found.changes
    ]
    console.print_table(rows, header=_HEADER, right=(1, 2))
    old, new = found.old.index, found.new.index
    kinds = Counter(each.change for each in found.changes)
    parts = [f"{count:,} {kind}" for kind, count in sorted(kinds.items())]
    if old.variants != new.variants:
        pythons = (", ".join(v.python for v in each.variants) for each in (old, new))
        parts.append(f"bytecode for {' -> '.join(pythons)}")
    elif found.recompiled:
        parts.append(f"{amount(found.recompiled, 'source')} with other bytecode only")
    same = "nothing differs" if old.hash == new.hash else "the files are the same"
    reporter.say(f"{old.hash} -> {new.hash}: {', '.join(parts) or same}")
