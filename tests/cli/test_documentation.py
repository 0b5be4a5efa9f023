"""What the documentation shows: commands that can be typed, links that lead somewhere.

The first two commands of the README are run in tests/ray.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lazyimport.cli import parser

CHECKOUT = Path(__file__).parents[2]
PAGES = [
    *CHECKOUT.glob("*.md"),
    *CHECKOUT.glob("docs/**/*.md"),
    *CHECKOUT.glob("benchmarks/*.md"),
]
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
    for name, text in vars(parser).items():
        if name.endswith("_EXAMPLES"):
            found += [(name, command) for command in commands(text)]
    return found


def test_every_command_can_be_typed() -> None:
    """Options that are gone, or were never there, are found here."""
    wrong = []
    for page, command in shown():
        # What follows two spaces is a remark, in help without its "#".
        words = shlex.split(re.split(r"\s{2,}", command)[0], comments=True)
        own, _ = parser.cut_program(words[1:])
        try:
            parser.make_parser().parse_args(own)
        except SystemExit as error:
            if error.code:
                wrong.append((page, command))
    assert [] == wrong
    assert len(shown()) > 50


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
