"""What ``check``, ``push --check`` and ``deploy --check`` share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lazyimport.cli.declare import option
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.deploy import check
from lazyimport.settings import Settings

check_python = option(
    "--check-python PATH",
    "Check with this interpreter, which stands for the image: with what is installed "
    "for it, and nothing else.",
    show_default="the one that runs lazyimport",
)


def check_and_tell(
    hash: str,
    entries: Sequence[str],
    settings: Settings,
    python: str | None,
    reporter: Progress,
    by_value: Sequence[str] = (),
    image: str | None = None,
) -> None:
    """Import *entries* from the archive, and say how that went.

    Raises DeployError if a worker could not do it either.
    """
    python = python or sys.executable
    where = image or python
    names = ", ".join(entries)
    reporter.step(f"importing {names} with {where}")
    checked = check(
        hash,
        entries,
        settings,
        environ=os.environ,
        python=python,
        image=image,
        by_value=by_value,
    )
    for name, place in checked.shadowed:
        reporter.warn(f"{name} of the archive wins over the one installed in {place}")
    for text in checked.doubtful:
        reporter.warn(f"{text}; a condition may keep it from being imported")
    reporter.say(
        f"{names}: fine with {where}, {amount(checked.modules, 'module')} of the "
        f"archive in {checked.seconds:.1f} s"
    )
