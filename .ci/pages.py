"""Collects the pages of the documentation site in build/pages.

Most lie in docs/; some lie elsewhere in the checkout, and the reference of the
commands is made from the code. Pages keep links that work in a checkout: here
they are turned into links within the site.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from pathlib import Path

import click

CHECKOUT = Path(__file__).parents[1]
PAGES = CHECKOUT / "build" / "pages"
#: file of the checkout -> page of the site
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "benchmarks/README.md": "benchmarks.md",
}
EXAMPLES = "examples.md"
LANGUAGES = {
    ".json": "json",
    ".py": "python",
    ".tf": "terraform",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
#: the line of docs/commands.md below which the commands go
COMMANDS = "<!-- the commands -->"
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def main() -> None:
    """Write all pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(CHECKOUT / "docs", PAGES)
    for path in CHECKOUT.glob("docs/**/*.md"):
        source = path.relative_to(CHECKOUT).as_posix()
        write(source.removeprefix("docs/"), relink(path.read_text("utf-8"), source))
    for source, page in ELSEWHERE.items():
        write(page, relink((CHECKOUT / source).read_text("utf-8"), source))
    write(EXAMPLES, examples())
    write(
        "commands.md",
        (PAGES / "commands.md").read_text("utf-8").replace(COMMANDS, commands()),
    )


def write(page: str, text: str) -> None:
    """Write one page of the site."""
    (PAGES / page).write_text(text, encoding="utf-8")


def relink(text: str, source: str) -> str:
    """Return the Markdown of the file *source* with links within the site.

    Ends the program at a link to a file that the site does not show.
    """
    here = Path(source).parent
    page_dir = Path(ELSEWHERE.get(source, source.removeprefix("docs/"))).parent

    def replace(match: re.Match[str]) -> str:
        begin, link, anchor, end = match.groups(default="")
        if "://" in link or link.startswith("mailto:"):
            return match[0]
        target = (CHECKOUT / here / link).resolve().relative_to(CHECKOUT)
        if target.as_posix() in ELSEWHERE:
            page = ELSEWHERE[target.as_posix()]
        elif target.parts[0] == "examples":
            page = EXAMPLES
        elif target.parts[0] == "docs":
            page = target.relative_to("docs").as_posix()
        else:
            sys.exit(f"{source}: {link!r} is not a page of the site")
        up = "../" * len(page_dir.parts)
        return f"{begin}{up}{page}{anchor}{end}"

    # Code blocks show links as they are.
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [_LINK.sub(replace, part) for part in parts[::2]]
    return "".join(parts)


def examples() -> str:
    """Return a page that shows the files of examples/."""
    parts = [
        "# Example files\n\nAn application and all that deploys it: to start from.\n"
    ]
    for path in sorted(CHECKOUT.glob("examples/**/*")):
        text = path.read_text("utf-8") if path.is_file() else ""
        if text:
            name = path.relative_to(CHECKOUT / "examples").as_posix()
            language = LANGUAGES.get(path.suffix, "dockerfile")
            parts.append(f"## {name}\n\n```{language}\n{text}```\n")
    return "\n".join(parts)


def commands() -> str:
    """Return the reference of all commands, from what click knows of them."""
    from lazyimport.cli.commands import command

    context = click.Context(command, info_name="lazyimport")
    return "\n\n".join(described(context, 2))


def described(context: click.Context, level: int) -> list[str]:
    """Return the blocks of Markdown about a command and about those below it."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    blocks = [f"{'#' * level} {context.command_path}", f"```text\n{usage}\n```"]
    blocks.append(_plain(inspect.cleandoc(command.help or "")))
    records: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            name, text = record[0], _plain(" ".join(record[1].split()))
            heading = getattr(parameter, "section", "Options")
            records.setdefault(heading, []).append(f"| `{name}` | {text} |")
    for heading, rows in records.items():
        blocks.append("\n".join([f"| {heading} | |", "| --- | --- |", *rows]))
    if examples := getattr(command, "examples", ""):
        blocks.append(f"```text\n{inspect.cleandoc(examples)}\n```")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            blocks += described(click.Context(child, context, name), level + 1)
    return blocks


def _plain(text: str) -> str:
    """Return *text* so that Markdown shows it as it is."""
    return re.sub(r"([\\_*`\[\]])", r"\\\1", text).replace("<", "&lt;")


if __name__ == "__main__":
    main()
