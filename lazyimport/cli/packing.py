"""What ``pack``, ``push`` and ``deploy --push`` share: options, and what is printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial, wraps
from typing import Any

import click

from lazyimport.cli.declare import option
from lazyimport.cli.figures import amount, size
from lazyimport.cli.options import refuse_idle
from lazyimport.cli.progress import Progress
from lazyimport.cli.project import remember
from lazyimport.delivery import Pushed, push
from lazyimport.delivery.publish import Published
from lazyimport.delivery.pushing import archive_file, prepare
from lazyimport.errors import SettingsError
from lazyimport.packing import Packed, PackOptions, pack
from lazyimport.settings import Settings
from lazyimport.values import redact

_LARGE = 100_000_000  # bytes of an archive whose largest files are named
_option = partial(option, section="Packing")
#: names of the options of packing
NAMES = [field.name for field in fields(PackOptions)]
_OPTIONS = [
    _option(
        "--python X.Y|PATH",
        "Compile for this Python, by version or path.",
        multiple=True,
        show_default="as configured, else the Python that runs lazyimport",
    ),
    _option(
        "--optimize LEVEL",
        "Compile at this level: 0, 1 (python -O) or 2 (-OO).",
        multiple=True,
        type=click.IntRange(0, 2),
        show_default="as configured, else 0",
    ),
    _option(
        "--exclude PATTERN", "Leave out what matches, as in .gitignore.", multiple=True
    ),
    _option(
        "--include PATTERN",
        "Pack what matches, whatever rule leaves it out.",
        multiple=True,
    ),
    _option(
        "--no-gitignore",
        "Ignore .gitignore files.",
        "gitignore",
        flag_value=False,
        default=True,
        show_default=False,
    ),
    _option(
        "--follow-links",
        "Pack what links lead to, even outside the folders.",
        "follow_links",
    ),
    _option(
        "--with NAME",
        "Also pack this installed distribution, with its metadata but without its "
        "dependencies.",
        "installed",
        multiple=True,
    ),
    _option(
        "--wheel FILE", "Also pack the contents of this wheel.", "wheels", multiple=True
    ),
    _option(
        "--requirements FILE",
        "Also pack what pip (or uv) installs for this file.",
        multiple=True,
    ),
    _option(
        "--platform TAG",
        "Resolve --requirements for this platform, and older ones that it runs, such as "
        "manylinux_2_28_x86_64.",
        show_default="this machine's",
    ),
    _option(
        "--profile FILE",
        "Put at the front of the archive what this profile recorded, or all profiles in "
        "this folder; 'push' then sends the archive whole.",
        multiple=True,
        show_default="as configured, else what the configured check imports",
    ),
    _option(
        "--no-stat-cache",
        "Read every file again, even if size, times and inode say that it is unchanged.",
        "trust_stat",
        flag_value=False,
        default=True,
        show_default=False,
    ),
    _option(
        "-j, --jobs N",
        "Compile in N processes at once.",
        show_default="one for each CPU",
    ),
]


def pack_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of packing; it is called with *packing*."""

    @wraps(function)
    def called(**options: Any) -> Any:
        values = {name: options.pop(name) for name in NAMES}
        values["jobs"] = values["jobs"] or None
        if not (values["requirements"] or values["wheels"]):
            refuse_idle(["platform"], "without --requirements or --wheel")
        return function(packing=PackOptions(**values), **options)

    for one in reversed(_OPTIONS):
        called = one(called)
    return called


def pack_and_tell(
    roots: Sequence[str], settings: Settings, packing: PackOptions, reporter: Progress
) -> Packed:
    """Pack *roots*, and say what was packed."""
    try:
        packed = pack(roots, settings, packing, reporter=reporter)
    except SettingsError as error:
        raise _usage(error) from error
    _say_packed(roots, reporter, packed.hash, packed)
    return packed


def prepare_and_tell(
    roots: Sequence[str],
    settings: Settings,
    packing: PackOptions,
    reporter: Progress,
    check: Callable[[str], object] | None = None,
) -> str:
    """Do all of a push but sending, say what was packed, and return the hash."""
    tell = partial(_say_packed, roots, reporter)
    with _refused(roots):
        revision, _ = prepare(roots, settings, packing, check, reporter, tell=tell)
    reporter.say(f"nothing was sent to {redact(str(settings.store))}: --dry-run")
    return revision.hash


def push_and_tell(
    roots: Sequence[str],
    settings: Settings,
    packing: PackOptions,
    reporter: Progress,
    **more: Any,
) -> Pushed:
    """Push *roots* with what *more* `push` takes; say what was packed and sent."""
    more["tell"] = partial(_say_packed, roots, reporter)
    with _refused(roots):
        pushed = push(
            roots, settings, packing, environ=os.environ, reporter=reporter, **more
        )
    remember(settings)
    sent = describe_published(pushed.published)
    reporter.say(f"{sent} ({pushed.store}, {pushed.seconds:.1f} s)")
    return pushed


@contextmanager
def _refused(roots: Sequence[str]) -> Iterator[None]:
    """Refuse options that do nothing with *roots*, and roots that do not fit."""
    try:
        if archive_file(roots) is not None:
            refuse_idle(NAMES, "with an archive, which is packed already")
        yield
    except SettingsError as error:
        raise _usage(error) from error


def _usage(error: SettingsError) -> Exception:
    """Return *error*, as one of usage if the roots do not go together."""
    return click.UsageError(str(error)) if error.name == "roots" else error


def _say_packed(
    roots: Sequence[str], reporter: Progress, hash: str, packed: Packed | None
) -> None:
    if packed is None:
        reporter.say(f"read archive {hash} from {roots[0]}")
        return
    if packed.artifact is not None:
        known = "as it should be" if packed.artifact.sha256 else "not checked"
        digest = packed.artifact_sha256
        reporter.say(f"read {packed.artifact.url}, SHA-256 {digest} ({known})")
    chosen = ", ".join(map(os.path.relpath, packed.roots))
    of = "" if roots or chosen == "." else f" of {chosen}"
    pythons = ", ".join(v.python for v in packed.revision.index.variants)
    reporter.say(
        f"packed {amount(packed.modules, 'module')}{of} in "
        f"{amount(packed.files, 'file')}, "
        f"{size(packed.size)}, for Python {pythons}: {packed.compiled:,} compiled, "
        f"{packed.reused:,} reused, in {packed.seconds:.1f} s"
    )
    if packed.recorded:
        reporter.say(f"{amount(packed.recorded, 'member')} come first, as recorded")
    if packed.size > _LARGE:
        files = ", ".join(f"{path} ({size(n)})" for path, n in packed.largest)
        reporter.say(
            f"the largest files are {files}; --exclude leaves out what is not needed"
        )


def describe_published(published: Published) -> str:
    """Return what a push has moved, in words."""
    text = _describe_archive(published)
    if published.large:
        text += f"; and {size(published.large)} of large files"
    return text


def _describe_archive(published: Published) -> str:
    if published.kind == "present":
        return "already there: nothing sent"
    if published.kind == "full":
        return f"sent {size(published.size)}, the whole archive"
    return (
        f"sent {size(published.size)} instead of {size(published.base_size)}: the "
        f"difference to {str(published.base)[:12]}"
    )
