"""What help says: all that can be typed, whichever way it is asked for."""

from __future__ import annotations

import re

import click
import pytest

from lazyimport.cli import exit_codes, main
from lazyimport.cli.commands import command as root
from tests.cli.conftest import all_commands

COMMANDS = dict(all_commands())


@pytest.mark.parametrize("command", COMMANDS)
def test_of_every_command(
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert 0 == main(["help", *command.split()])

    assert text == capsys.readouterr().out
    assert f"Usage: lazyimport {command}" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_names_default_and_variable_of_each_option(command: str) -> None:
    found = COMMANDS[command]
    context = click.Context(found)
    for parameter in found.params:
        record = parameter.get_help_record(context)
        assert record is not None
        name, text = record
        assert text, name
        if isinstance(parameter, click.Option):
            if parameter.envvar:
                assert f"env var: {parameter.envvar}" in text
            default = parameter.get_default(context)
            if isinstance(default, str) and default:
                assert f"default: {default}" in text, name
        assert "_" not in name


@pytest.mark.parametrize("command", ["ls", "push", "cache prune", "channel set"])
def test_names_what_is_the_same_everywhere(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*command.split(), "--help"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)

    assert "LAZYIMPORT_VERBOSE" in text
    assert "LAZYIMPORT_CACHE_DIR" in text


def test_has_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["help"])
    text = capsys.readouterr().out

    codes = re.findall(r"^  (\d+) +(\S.*)$", text, re.MULTILINE)
    assert {str(k): v for k, v in exit_codes.MEANINGS.items()} == dict(codes)


@pytest.mark.parametrize(
    ("words", "what", "whose"),
    [
        ("help chanel", "no such command: chanel; did you mean channel?", ""),
        ("help channel st", "no such command: st; did you mean set?", " channel"),
        ("help ls all", "lazyimport ls has no action 'all'", " help"),
    ],
)
def test_of_nothing_there_is(
    words: str, what: str, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(words.split())
    said = capsys.readouterr().err

    assert f"lazyimport: {what}\nlazyimport: see 'lazyimport{whose} --help'\n" == said


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """Though none is loaded for it."""
    lines = {
        name: text
        for section in root.sections.values()
        for name, text in section.items()
    }
    context = click.Context(root)

    for name, text in lines.items():
        found = root.get_command(context, name)
        assert found is not None
        assert found.get_short_help_str(limit=99) == text
