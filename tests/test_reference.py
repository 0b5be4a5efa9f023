"""The reference pages list exactly what exists: settings, public names, layers."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from dataclasses import fields
from importlib import import_module
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name

import pytest

import lazyimport
from lazyimport import environment
from lazyimport.cli import exit_codes
from lazyimport.cli.commands.push import command as push
from lazyimport.packing import PackOptions, config
from lazyimport.settings import ENVIRONMENT, Settings
from tests.cli.conftest import all_commands
from tests.support.public import PUBLIC

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PACKAGE = CHECKOUT / "lazyimport"
pytestmark = pytest.mark.skipif(
    not DOCS.exists(), reason="the tests run without the documentation"
)

#: the one public name of a module whose others are for lazyimport itself
_ALONE = {"lazyimport.settings.Settings"}
#: set by those who maintain lazyimport
_NO_SETTINGS = {
    "LAZYIMPORT_TEST_FULL",
    "LAZYIMPORT_TEST_FUZZ_SECONDS",
    "LAZYIMPORT_TEST_FUZZ_SEED",
}


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def settings_table() -> list[dict[str, str]]:
    """Return the rows of the one table of settings, without marks of code."""
    lines = re.findall(r"^\|(.*)\|$", read("settings.md"), re.MULTILINE)
    rows = [
        [cell.strip().replace("`", "") for cell in line.split("|")] for line in lines
    ]
    head, _, *rest = rows
    return [dict(zip(head, row, strict=True)) for row in rest if len(row) == len(head)]


def column(name: str) -> list[str]:
    return [row[name] for row in settings_table() if row[name]]


class TestSettings:
    def test_each_environment_variable_stands_beside_its_argument(self) -> None:
        documented = {
            row["Argument"]: row["Environment"]
            for row in settings_table()
            if row["Environment"]
        }
        assert ENVIRONMENT == documented

    def test_arguments_of_install(self) -> None:
        running = {row["Argument"] for row in settings_table() if row["Environment"]}

        assert set(signature(Settings).parameters) == {*running, "environ"}
        sentence = re.search(
            r"`lazyimport.install\(\)` takes (.*)\.", read("settings.md")
        )
        assert sentence is not None
        named = set(re.findall(r"`(\w+)`", sentence[1]))
        assert set(signature(lazyimport.install).parameters) == named <= running

    def test_keys_of_packing(self) -> None:
        assert sorted(config._KEYS) == sorted(column("[tool.lazyimport]"))

    def test_arguments_of_packing(self) -> None:
        """What only the configuration can say has no argument."""
        packing = [row for row in settings_table() if not row["Environment"]]

        assert {field.name for field in fields(PackOptions)} == {
            row["Argument"] for row in packing if row["Argument"]
        }
        assert all(row["[tool.lazyimport]"] for row in packing if not row["Argument"])

    def test_options(self) -> None:
        """All options of packing are there; the others belong to some command."""
        own = {o for p in push.params for o in p.opts if section(p) == "Packing"}
        known = {o for _, c in all_commands() for p in c.params for o in p.opts}
        named = {option.partition(" ")[0] for option in column("Option")} - {"HASH"}

        assert own - named <= {"-j"}
        assert named <= known

    def test_every_row_has_its_section(self) -> None:
        text = read("settings.md")
        for link in re.findall(r"^\| \[.*?\]\(#(.*?)\)", text, re.MULTILINE):
            heads = re.findall(r"^### (.*)$", text, re.MULTILINE)
            plain = [
                re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads
            ]
            assert link in plain

    def test_every_variable_of_the_code_is_on_a_page(self) -> None:
        used = variables(PACKAGE.rglob("*.py"))
        documented = variables([DOCS / "settings.md"])

        assert used == documented == {*ENVIRONMENT.values(), *environment.FURTHER}
        assert variables(DOCS.rglob("*.md")) - used <= _NO_SETTINGS


def section(parameter: object) -> str:
    return str(getattr(parameter, "section", ""))


def variables(paths: Iterable[Path]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        found |= set(
            re.findall(r"\bLAZYIMPORT_[A-Z0-9_]*[A-Z0-9]\b", path.read_text("utf-8"))
        )
    return found


def test_no_module_is_longer_than_its_readers_patience() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    limit = re.search(r"A module of the package has at most (\d+) lines", text)
    assert limit is not None

    lengths = {
        str(path.relative_to(PACKAGE)): path.read_text("utf-8").count("\n")
        for path in PACKAGE.rglob("*.py")
    }
    assert {} == {n: long for n, long in lengths.items() if long > int(limit[1])}


def test_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*)\. \|$", read("commands.md"), re.MULTILINE)

    assert exit_codes.MEANINGS == {
        int(code): text[0].lower() + text[1:] for code, text in rows
    }


def test_public_names() -> None:
    shown = re.findall(r"^::: (\S+)$", read("api.md"), re.MULTILINE)
    public = {
        f"{name}.{each}" for name in PUBLIC for each in import_module(name).__all__
    }

    assert len(shown) == len(set(shown))
    assert public | _ALONE == {
        f"{name}.{each}" if each else name
        for name in shown
        for each in (import_module(name).__all__ if name in PUBLIC else [""])
    }


def spelled(node: ast.AST) -> str:
    """Return the text of a string in the code, with "…" for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(spelled(value) for value in node.values)
    return "…"


def test_messages_that_are_explained_are_in_the_code() -> None:
    messages = {
        spelled(node)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Constant, ast.JoinedStr))
    }
    explained = re.findall("^### (.*)$", read("troubleshooting.md"), re.MULTILINE)
    text = "\n".join(messages)

    assert len(explained) > 20
    assert [] == [
        title
        for title in explained
        if not re.search(".*".join(map(re.escape, title.split("…"))), text)
    ]


def test_names_of_the_walks() -> None:
    """A reader can follow them in the code: each name leads to what it says."""
    packages = {path.stem for path in PACKAGE.iterdir()} - {"errors"}
    text = read("architecture.md")
    names = [
        name
        for name in re.findall(r"`(\w+(?:\.\w+)+)(?:\(\))?`", text)
        if name.partition(".")[0] in packages
    ]

    assert len(names) > 40
    for name in names:
        assert resolve_name(f"lazyimport.{name}")


def layers() -> list[set[str]]:
    """Return the layers from top to bottom, as the contract has them."""
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    found = next(one["layers"] for one in contracts if one["type"] == "layers")
    return [set(re.findall(r"\w+", layer)) - {"__main__"} for layer in found]


def test_layers_of_the_drawing() -> None:
    drawn = re.findall(r'class="name" x="\d+" y="(\d+)">(\w+)<', read("layers.svg"))
    packages: dict[str, set[str]] = {}
    for height, package in drawn:
        packages.setdefault(height, set()).add(package)

    expected = [layer - {"installed", "lazy", "import_errors"} for layer in layers()]
    assert [layer for layer in expected if layer] == [*packages.values()]


def test_layers_of_the_table() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.search(r"\| Layer .*\n\| --- .*\n((?:\|.*\n)+)", text)
    assert table is not None

    rows = [line.split("|")[1] for line in table[1].splitlines()]
    assert [layer for layer in layers() if layer] == [
        set(re.findall(r"\w+", row)) for row in rows
    ]
