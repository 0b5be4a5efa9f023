"""``lazyimport check``."""

from __future__ import annotations

import click

from lazyimport.cli import declare, options
from lazyimport.cli.checking import check_and_tell, check_python
from lazyimport.cli.progress import Progress
from lazyimport.cli.project import project
from lazyimport.delivery.lookup import resolve
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport check 4be81c02 my_app.serve:app
lazyimport check 4be81c02 my_app.serve:app --check-python /opt/bin/python
lazyimport check 4be81c02 my_app.serve:app --image registry.example/ray:1.2
"""


@declare.command("check", examples=_EXAMPLES)
@options.archive()
@declare.argument(
    "[MODULE:ATTR ...]",
    "What to import: a Serve application, or any module; by default what "
    "[tool.lazyimport] check names.",
    "entries",
)
@check_python
@declare.option(
    "--image IMAGE",
    "Check with the Python of this image, in a container of Docker or Podman.",
)
@options.settings(project=True)
def command(
    archive: str,
    entries: tuple[str, ...],
    check_python: str | None,
    image: str | None,
    settings: Settings,
) -> None:
    """Import from an archive what a worker will import first.

    Imports in a clean Python with only what is installed for it, so that a missing
    dependency, a syntax error, or a policy that Serve's controller could not load shows
    here and not in the cluster. Reads, and does not run, what is imported later, as in
    functions, and names the file and line of each import that would fail.
    """
    if image:
        options.refuse_idle(["check_python"], "with --image")
    entries = entries or project().check
    if not entries:
        raise click.UsageError(
            "what to import? Give MODULE, MODULE:ATTR, or name it in pyproject.toml: "
            "[tool.lazyimport] check"
        )
    with Progress() as reporter:
        hash = resolve(archive, settings, reporter=reporter)
        check_and_tell(hash, entries, settings, check_python, reporter, image=image)
