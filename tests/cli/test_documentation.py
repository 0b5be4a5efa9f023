"""What the documentation shows: commands that can be typed, links that lead somewhere.

The first two commands of the README are run in tests/ray.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lazyimport.cli import exit_codes, main
from lazyimport.cli.declare import Command, Group
from tests.cli.conftest import all_commands

CHECKOUT = Path(__file__).parents[2]
PAGES = [
    *CHECKOUT.glob("*.md"),
    *CHECKOUT.glob("docs/**/*.md"),
    *CHECKOUT.glob("benchmarks/*.md"),
]
EXAMPLES = [path for path in CHECKOUT.glob("examples/**/*") if path.suffix != ".py"]
#: what a shell puts between commands; a hash or channel that is elided
_BETWEEN = re.compile(r"\s(?:\||>|&&|;)\s|[$(]\(|\)\"?$|\)(?=\s)")


def commands(text: str) -> list[str]:
    """Return the commands of ours in *text*, each without what surrounds it."""
    found = []
    for line in text.splitlines():
        for part in _BETWEEN.split(line.removeprefix("$ ").strip()):
            words = part.strip().removeprefix('"')
            if words.startswith("lazyimport "):
                found.append(words)
    return found


def shown() -> list[tuple[str, str]]:
    """Return (page, command) of all that stand in code blocks and examples."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL):
            found += [(page.name, command) for command in commands(block)]
    for file in filter(Path.is_file, EXAMPLES):
        for line in file.read_text(encoding="utf-8").splitlines():
            step = re.sub(r"^[\s#]*(- )?(run: )?", "", line)
            found += [(file.name, command) for command in commands(step)]
    for name, command in all_commands():
        found += [(name, line) for line in commands(getattr(command, "examples", ""))]
    return found


@pytest.fixture(name="idle")
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are parsed to the end, and do nothing."""

    def invoke(self: Command, context: click.Context) -> int:
        return click.Group.invoke(self, context) if isinstance(self, Group) else 0

    monkeypatch.setattr(Command, "invoke", invoke)


@pytest.mark.usefixtures("idle")
def test_every_command_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that are gone, or were never there, are found here."""
    monkeypatch.setenv("LAZYIMPORT_STORE", "gs://anywhere")
    wrong = []
    for page, command in shown():
        # What follows two spaces is a remark, in help without its "#".
        words = shlex.split(re.split(r"\s{2,}", command)[0], comments=True)[1:]
        if "--sign" in words:
            words[words.index("--sign") + 1] = ""  # the key of an example
        if main(words) != exit_codes.DONE:
            wrong.append((page, command))

    assert [] == wrong


def test_every_command_is_shown() -> None:
    """What exists is in the documentation, with its words as they are typed."""
    typed = [command.removeprefix("lazyimport ") for _, command in shown()]

    for name, command in all_commands():
        if not isinstance(command, Group):
            assert any(words.startswith(name) for words in typed), name
    assert len(typed) > 50


def test_exit_codes_are_listed() -> None:
    text = (CHECKOUT / "docs/commands.md").read_text(encoding="utf-8")

    listed = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert list(exit_codes.MEANINGS) == list(map(int, listed))


def test_commands_that_print_json_are_listed() -> None:
    """A group is named for all of its actions, if all of them do."""
    text = (CHECKOUT / "docs/commands.md").read_text(encoding="utf-8")
    sentence = re.search(r"For scripts, (.*) take `--json`", text)
    assert sentence is not None
    listed = set(re.findall(r"`([\w -]+)`", sentence[1]))

    takes = {
        name: any("--json" in parameter.opts for parameter in command.params)
        for name, command in all_commands()
        if not isinstance(command, Group)
    }
    for name, does in takes.items():
        named = name in listed or name.partition(" ")[0] in listed
        assert does == named, name


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
    return set(plain)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link
