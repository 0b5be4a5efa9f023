"""What ``check``, ``push --check`` and ``deploy --check`` share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lazyimport.cli.declare import option
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.delivery.compatibility import require_fit
from lazyimport.delivery.contents import read_contents
from lazyimport.deploy import Cluster, check
from lazyimport.errors import WrongPython
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


def check_nodes_and_tell(
    hash: str, cluster: Cluster, settings: Settings, timeout: float, reporter: Progress
) -> None:
    """Ask *cluster* which Pythons its nodes have, and whether the archive is for them.

    Raises WrongPython, or DeployError if that cannot be asked.
    """
    reporter.step(f"asking {cluster.address} which Python its nodes have")
    contents = read_contents(hash, settings, reporter)
    pythons = cluster.pythons(timeout)
    for python in pythons:
        try:
            require_fit(contents, python)
        except WrongPython as error:
            raise error.with_text(
                f"archive {hash} cannot run: {error}"
            ) from error.__cause__
        if not python.has_bytecode(contents):
            reporter.warn(
                f"archive {hash[:12]} has no bytecode for {python.where}, so it "
                f"compiles every module: push with --python 3.{python.minor}"
            )
    minors = ", ".join(sorted({f"3.{python.minor}" for python in pythons}))
    reporter.say(
        f"{hash[:12]} is for Python {minors} of {amount(len(pythons), 'node')} at "
        f"{cluster.address}"
    )
