"""``lazyimport report``."""

from __future__ import annotations

from contextlib import suppress

from lazyimport.cli import declare, options
from lazyimport.cli.comparing import named_archive
from lazyimport.cli.figures import moment, one_line, origin_of
from lazyimport.cli.progress import Progress
from lazyimport.delivery.comparing import compare
from lazyimport.delivery.contents import Contents, read_contents
from lazyimport.errors import StoreError
from lazyimport.packing.starts import read_starts
from lazyimport.registry.opening import store_of
from lazyimport.registry.provenance import read_provenance
from lazyimport.report.archive import report_archive
from lazyimport.report.page import write_page
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport report prod
lazyimport report prod 4be81c02 -o change.html     with what differs
lazyimport report prod --profile start.jsonl       with what was imported
"""


@declare.command("report", examples=_EXAMPLES)
@declare.argument(
    "HASH",
    "The archive: a hash or the first six digits, a channel, or a manifest that names one.",
    "archive",
    shell_complete=options.complete_archive,
)
@declare.argument(
    "[BEFORE]",
    "An archive to compare it with, in the same forms: the one before.",
    "before",
    shell_complete=options.complete_archive,
)
@declare.option(
    "--profile FILE",
    "Show what processes imported: a file that 'run --profile' wrote, or the directory "
    "that LAZYIMPORT_PROFILE names.",
    "profiles",
    multiple=True,
)
@declare.option(
    "-o, --output FILE",
    "Write the page to this file.",
    show_default="report-HASH.html in the current folder",
)
@options.settings()
def command(
    archive: str,
    before: str | None,
    profiles: tuple[str, ...],
    output: str | None,
    settings: Settings,
) -> None:
    """Draw what an archive holds, and what a process imported from it.

    Writes one HTML page that needs no network: a map of the files by size, data against
    code; with a profile, where the time of imports went and what was packed and never
    imported; with BEFORE, what differs. Prints the path of the page on stdout.

    Of an archive in a store, reads only the index.
    """
    with Progress() as reporter:
        starts = read_starts(profiles)
        hash = named_archive(archive, settings, reporter)
        contents = read_contents(hash, settings, reporter)
        comparison = None
        if before is not None:
            other = named_archive(before, settings, reporter)
            comparison = compare(read_contents(other, settings, reporter), contents)
        about = _about(contents, settings)
        report = report_archive(contents, about, starts, comparison)
    title = f"Archive {hash[:12]}"
    path = output or f"report-{hash[:12]}.html"
    write_page(path, "archive.js", title, report)
    print(path)


def _about(contents: Contents, settings: Settings) -> list[str]:
    """Return where an archive comes from, as its first push claims."""
    found = [contents.runs_on]
    if settings.store:
        with suppress(StoreError):  # the archive itself is here
            facts = read_provenance(store_of(settings), contents.index.hash)
            builder = one_line(str(facts.get("builder") or ""))
            found += [f"pushed by {builder}"] * bool(builder)
            found += [moment(str(facts.get("time")))] * bool(facts.get("time"))
            found += [f"commit {origin_of(facts)}"] * bool(origin_of(facts))
    return found
