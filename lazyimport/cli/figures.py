"""Sizes, amounts, times and names as people read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lazyimport.registry.channel import Channel
from lazyimport.units import utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.usage import CachedFile
    from lazyimport.registry.blobs import StoredBlob

_UNITS = ("kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """Return a number of bytes in decimal units: ``412 B``, ``3.1 kB``, ``24 MB``."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1000
        if value < 9.95:
            return f"{value:.1f} {unit}"
        if value < 999.5:
            return f"{value:.0f} {unit}"
    return f"{value:.0f} {_UNITS[-1]}"


def amount(count: int, noun: str) -> str:
    """Return ``1 module``, ``1,234 modules``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def large_files(blobs: Collection[CachedFile | StoredBlob]) -> str:
    """Return how many large files these are, and their size."""
    total = size(sum(blob.size for blob in blobs))
    return f"{amount(len(blobs), 'large file')} ({total})"


def moment(when: float | str) -> str:
    """Return a time as all are shown: ``2026-11-22T20:07:31Z``.

    *when* is in seconds since the epoch, or a text as stores have it, which is shown
    on one line.
    """
    return one_line(when) if isinstance(when, str) else utc(when)


def age(seconds: float) -> str:
    """Return a time that has passed: ``59 s``, ``12 min``, ``30 h``, ``5 d``."""
    for unit, length, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < most:
            return f"{max(seconds, 0) / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def one_line(text: str) -> str:
    """Return what somebody else wrote, without what a terminal would act on."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())


def origin_of(facts: Mapping[str, object]) -> str:
    """Return the commit that an archive was packed from; "" if *facts* do not say."""
    commit = str(facts.get("commit", ""))[:12]
    if not commit:
        return ""
    branch = facts.get("branch")
    text = f"{commit} on {branch}" if branch else commit
    return f"{text}, with uncommitted changes" if facts.get("dirty") else text


def short_commit(commit: str) -> str:
    """Return the first digits of what `commit_in` returned; + stands for changes."""
    name, _, rest = one_line(commit).partition(" ")
    return name[:12] + ("+" if rest else "")


def describe_channel(channel: Channel, store: str, message: str = "") -> str:
    """Return what *channel* of the *store* (URL) points to, and did before.

    *message* was to go with a change.
    """
    before = channel.changes[1].hash if len(channel.changes) > 1 else None
    text = f"channel {channel.name} of {store} points to {channel.hash or 'nothing'} "
    text += f"(#{channel.newest.number}"
    if before:
        text += f", was {before[:12]}"
    if channel.newest.expires:
        text += f", until {moment(channel.newest.expires)}"
    if channel.changed:
        return text + ")"
    lost = ", and the message is not recorded" if message else ""
    return f"{text}) already: nothing was changed{lost}"
