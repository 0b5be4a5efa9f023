"""What ``pack``, ``push`` and ``deploy --push`` share: options, and what is told."""

from __future__ import annotations

import os
from functools import wraps

import click

from lazyimport.cli.declare import option
from lazyimport.cli.figures import amount, size
from lazyimport.cli.options import count
from lazyimport.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lazyimport.cli.progress import Progress
    from lazyimport.delivery import Pushed
    from lazyimport.delivery.publish import Published
    from lazyimport.packing import Packed, PackOptions
    from lazyimport.registry.signing import Signer
    from lazyimport.settings import Settings

__all__ = ["describe_published", "pack_and_tell", "pack_options", "push_and_tell"]

_SECTION = "Packing"
_OPTIONS = [
    option(
        "--python",
        multiple=True,
        metavar="X.Y|PATH",
        show_default="as configured, else the Python that runs lazyimport",
        section=_SECTION,
        help="Compile for this Python, by version or path.",
    ),
    option(
        "--optimize",
        multiple=True,
        type=click.IntRange(0, 2),
        metavar="N",
        show_default="as configured, else 0",
        section=_SECTION,
        help="Compile at this level: 0, 1 (python -O) or 2 (-OO).",
    ),
    option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        section=_SECTION,
        help="Leave out what matches, as in .gitignore.",
    ),
    option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        section=_SECTION,
        help="Pack what matches, whatever rule leaves it out.",
    ),
    option(
        "--no-gitignore",
        "gitignore",
        flag_value=False,
        default=True,
        show_default=False,
        section=_SECTION,
        help="Ignore .gitignore files.",
    ),
    option(
        "--with",
        "installed",
        multiple=True,
        metavar="NAME",
        section=_SECTION,
        help="Pack a distribution that is installed here too, with its metadata and "
        "without its dependencies.",
    ),
    option(
        "--wheel",
        "wheels",
        multiple=True,
        metavar="FILE",
        section=_SECTION,
        help="Pack the contents of this wheel too.",
    ),
    option(
        "--requirements",
        multiple=True,
        metavar="FILE",
        section=_SECTION,
        help="Pack what pip (or uv) installs for this file too.",
    ),
    option(
        "--platform",
        metavar="TAG",
        show_default="this machine's",
        section=_SECTION,
        help="Resolve --requirements for this platform and the older ones it runs, "
        "such as manylinux_2_28_x86_64.",
    ),
    option(
        "--no-stat-cache",
        "trust_stat",
        flag_value=False,
        default=True,
        show_default=False,
        section=_SECTION,
        help="Read every file again, also where size, times and inode say that it is "
        "unchanged.",
    ),
    option(
        *("-j", "--jobs"),
        type=count,
        metavar="N",
        show_default="one for each CPU",
        section=_SECTION,
        help="Compile in N processes at once.",
    ),
]


def pack_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of packing; it is called with *packing*."""

    @wraps(function)
    def called(**options: Any) -> Any:
        from dataclasses import fields

        from lazyimport.packing import PackOptions

        values = {field.name: options.pop(field.name) for field in fields(PackOptions)}
        values["jobs"] = values["jobs"] or None
        return function(packing=PackOptions(**values), **options)

    for one in reversed(_OPTIONS):
        called = one(called)
    return called


def pack_and_tell(
    roots: Sequence[str], settings: Settings, packing: PackOptions, reporter: Progress
) -> Packed:
    """Pack *roots*, and say what was packed."""
    from lazyimport.packing import pack

    try:
        packed = pack(roots, settings, packing, reporter=reporter)
    except SettingsError as error:
        raise _usage(error) from error
    _say_packed(packed, reporter)
    return packed


def push_and_tell(
    roots: Sequence[str],
    settings: Settings,
    packing: PackOptions,
    reporter: Progress,
    *,
    check: Callable[[str], object] | None = None,
    signer: Signer | None = None,
    channel: str | None = None,
    message: str = "",
) -> Pushed:
    """Push *roots*, and say what was packed and sent."""
    from lazyimport.delivery import push

    try:
        pushed = push(
            roots,
            settings,
            packing,
            check=check,
            signer=signer,
            channel=channel,
            message=message,
            environ=os.environ,
            reporter=reporter,
        )
    except SettingsError as error:
        raise _usage(error) from error
    if pushed.packed is None:
        reporter.say(f"read archive {pushed.hash} from {roots[0]}")
    else:
        _say_packed(pushed.packed, reporter)
    sent = describe_published(pushed.published)
    reporter.say(f"{sent} ({pushed.store}, {pushed.seconds:.1f} s)")
    return pushed


def _usage(error: SettingsError) -> Exception:
    """Return *error*, as one of usage if the roots do not go together."""
    return click.UsageError(str(error)) if error.name == "roots" else error


def _say_packed(packed: Packed, reporter: Progress) -> None:
    if packed.artifact is not None:
        known = "as it should be" if packed.artifact.sha256 else "not checked"
        digest = packed.artifact_sha256
        reporter.say(f"read {packed.artifact.url}, SHA-256 {digest} ({known})")
    pythons = ", ".join(v.python for v in packed.revision.index.variants)
    reporter.say(
        f"packed {amount(packed.modules, 'module')} in {amount(packed.files, 'file')}, "
        f"{size(packed.size)}, for Python {pythons}: {packed.compiled:,} compiled, "
        f"{packed.reused:,} reused, in {packed.seconds:.1f} s"
    )


def describe_published(published: Published) -> str:
    """Return what a push has moved, in words."""
    if published.kind == "present":
        return "already there: nothing sent"
    if published.kind == "full":
        return f"sent {size(published.size)}, the whole archive"
    return (
        f"sent {size(published.size)} instead of {size(published.base_size)}: the "
        f"difference to {str(published.base)[:12]}"
    )
