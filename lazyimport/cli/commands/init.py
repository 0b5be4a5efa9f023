"""``lazyimport init``."""

from __future__ import annotations

import json
import os
import stat
import sys

import click

from lazyimport.cli import console, declare, options
from lazyimport.cli.project import remember
from lazyimport.deploy import DeployError, Manifest, ManifestError
from lazyimport.files import AtomicFile
from lazyimport.packing.layout import choose_roots
from lazyimport.packing.rules import DROPPED
from lazyimport.settings import Settings
from lazyimport.values import redact

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = "pyproject.toml"
_EXAMPLES = """
lazyimport init --store gs://bucket/code
lazyimport deploy --apply --wait
"""


@declare.command("init", examples=_EXAMPLES)
@declare.option("-y, --yes", "Ask nothing: leave out what is not found.")
@options.settings()
def command(yes: bool, settings: Settings) -> None:
    """Write [tool.lazyimport] into the pyproject.toml here.

    Looks below this folder for the packages, for the manifest that runs an archive, and
    for what that imports. Asks for what it does not find. Changes nothing else in the
    file, and no table that is there.
    """
    before = b""
    if os.path.exists(PYPROJECT):
        with open(PYPROJECT, "rb") as file:
            before = file.read()
    if _table_in(before) is not None:
        raise click.UsageError(
            f"{PYPROJECT} has a table [tool.lazyimport] already, so it stays as it is"
        )
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    store = settings.store or (_ask_for_store() if asks else None)
    if store and redact(store) != store:
        raise click.UsageError(
            "the URL of the store has a password or token, which stays out of files"
        )
    values = {**({"store": store} if store else {}), **_look(asks=asks)}
    if not values:
        raise click.UsageError(
            "nothing to write: no store is named, and no manifest was found; add "
            "--store URL, or write the manifest first"
        )
    _write(before, values)
    if store:
        remember(settings.replaced(store=store))
        if "manifest" in values:
            console.say("'lazyimport deploy --apply --wait' pushes and deploys it now")


def _look(*, asks: bool) -> dict[str, object]:
    """Return what the files here say, and a person where they do not."""
    values: dict[str, object] = {}
    roots = choose_roots(())
    if roots != ["."]:
        values["roots"] = [os.path.relpath(root) for root in roots]
    found = _manifests()
    if path := _choose("manifest", list(found), asks=asks):
        values["manifest"] = path
        applications = found[path].applications
        if name := _choose("app", [app.name for app in applications], asks=asks):
            values["app"] = name
            applications = [app for app in applications if app.name == name]
        if paths := [app.import_path for app in applications if app.import_path]:
            values["check"] = paths
    return values


def _write(before: bytes, values: dict[str, object]) -> None:
    """Add the table of *values* to the file, which is *before* until then."""
    lines = [
        f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in values.items()
    ]
    end = "\r\n" if b"\r\n" in before else "\n"
    table = end.join(["[tool.lazyimport]", *lines, ""])
    gap = end * (1 + (before[-1:] != b"\n")) if before else ""
    after = before + f"{gap}{table}".encode()
    if _table_in(after) != values:
        raise click.UsageError(
            f"{PYPROJECT} cannot be changed by lazyimport; add this to it:\n{table}"
        )
    mode = stat.S_IMODE(os.stat(PYPROJECT).st_mode) if before else 0o644
    with AtomicFile(os.path.realpath(PYPROJECT), mode) as file:
        file.write(after)
    console.say(f"wrote to {PYPROJECT}:\n{table.rstrip()}")


def _table_in(data: bytes) -> object:
    """Return [tool.lazyimport] of a pyproject.toml, None if it has none."""
    try:
        return tomllib.loads(data.decode()).get("tool", {}).get("lazyimport")
    except (ValueError, AttributeError, RecursionError) as error:
        raise click.UsageError(f"{PYPROJECT} cannot be read: {error}") from error


def _ask_for_store() -> str | None:
    text = "store, such as gs://bucket/prefix or a folder (empty: none)"
    answer = click.prompt(text, default="", show_default=False, err=True)
    return options.store_url(answer) if answer else None


def _choose(what: str, found: list[str], *, asks: bool) -> str | None:
    """Return the only one, or the one that a person chooses, or None."""
    if len(found) < 2:
        return found[0] if found else None
    if not asks:
        several = ", ".join(found)
        console.warn(f"which {what}? Left out: there are {several}")
        return None
    for number, one in enumerate(found, 1):
        console.say(f"{number}  {one}")
    kind = click.IntRange(0, len(found))
    number = click.prompt(f"which {what}? (0: none)", type=kind, err=True)
    return found[number - 1] if number else None


def _manifests() -> dict[str, Manifest]:
    """Return the manifests below this folder that can run an archive, by path."""
    found = {}
    for folder, inside, names in os.walk("."):
        inside[:] = sorted(
            name
            for name in inside
            if name not in DROPPED
            and not name.startswith(".")
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            if name.endswith((".yaml", ".yml")):
                path = os.path.relpath(os.path.join(folder, name))
                try:
                    found[path] = Manifest.read(path)
                except (ManifestError, OSError):
                    continue  # another file
                except DeployError as error:
                    console.warn(f"no manifest was looked for: {error}")
                    return {}
    return found
