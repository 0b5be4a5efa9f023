"""A recorded start decides what comes first in what a push sends, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lazyimport.delivery.heads import Head
from lazyimport.format.sections import Header
from lazyimport.stores import open_store
from tests.cli.conftest import CommandLine
from tests.support.compare_importers import write_tree

FILES = {
    "app/__init__.py": "name = 'app'\n",
    "app/alone.py": "name = 'alone'\n",
    "app/main.py": "import app.used, late\nprint('ran')\n",
    "app/used.py": "try:\n    import app.perhaps\nexcept ImportError:\n    pass\n",
    "app/perhaps.py": "def later():\n    import app.alone\n",
    "data/__init__.py": "name = 'data'\n",
    "data/words.txt": "word\n" * 100,
    "late.py": "import data\n",
    **{f"many/m{number}.py": f"x = {number}\n" for number in range(30)},
}
CODE = ["app/__init__.py", "app/main.py", "app/used.py", "app/perhaps.py", "late.py"]


@pytest.fixture(name="cli")
def _cli(tmp_path: Path) -> CommandLine:
    cli = CommandLine(tmp_path)
    write_tree(FILES, tmp_path / "tree")
    return cli


def push(cli: CommandLine, *more: object) -> tuple[str, str]:
    """Return the hash, and what was said."""
    done = cli.run("push", cli.folder / "tree", "--store", cli.url, *more)
    return done.stdout.strip(), done.stderr


def record(cli: CommandLine, hash: str) -> Path:
    file = cli.folder / "start.jsonl"
    ran = cli.run("run", hash, "--profile", file, "-m", "app.main")
    assert ran.stdout == "ran\n"
    return file


def first(cli: CommandLine, hash: str) -> list[str]:
    """Return what comes first in the stored archive."""
    head = Head(open_store(cli.url), hash)
    paths = [path for at, *_, path in head.members if at < head.header.warm]
    return list(dict.fromkeys(paths))  # a module has a source and bytecode


def test_push_in_the_order_of_a_profile(cli: CommandLine) -> None:
    hash, _ = push(cli)
    assert first(cli, hash) == []

    profile = record(cli, hash)
    same, said = push(cli, "--profile", profile)

    assert same == hash
    assert "members come first, as recorded" in said
    assert "the whole archive" in said
    found = first(cli, hash)
    assert [path for path in found if path in CODE] == CODE
    assert "data/words.txt" in found
    assert not any(path.startswith("many/") for path in found)
    assert "nothing sent" in push(cli, "--profile", profile)[1]
    cli.run("verify", "--store", cli.url)
    cold = "--cache-dir", cli.folder / "cold"
    ran = cli.run("run", hash, "--store", cli.url, *cold, "-m", "app.main")
    assert ran.stdout == "ran\n"
    elsewhere = "--store", cli.url, "--cache-dir", cli.folder / "elsewhere"
    shown = cli.run("show", hash, "--json", *elsewhere)
    assert json.loads(shown.stdout)["first"]["members"] >= len(found)
    assert "which a start reads" in cli.run("show", hash, *elsewhere).stdout


def test_a_configured_profile(cli: CommandLine) -> None:
    """It is not packed, and what changes afterwards is sent as before."""
    hash, _ = push(cli)
    tree = cli.folder / "tree"
    record(cli, hash).rename(tree / "start.jsonl")
    (tree / "pyproject.toml").write_text(
        '[tool.lazyimport]\nprofile = ["start.jsonl"]\nexclude = ["pyproject.toml"]\n'
    )

    same, said = push(cli)
    assert same == hash
    assert "nothing sent" in said

    (tree / "app" / "used.py").write_text("import app.alone\n")
    (tree / "many" / "m0.py").write_text("x = 'changed'\n")
    changed, said = push(cli, "--store", f"{cli.url}-2")

    head = Head(open_store(f"{cli.url}-2"), changed)
    found = [path for at, *_, path in head.members if at < head.header.warm]
    assert head.index is not None
    assert head.index.entry("start.jsonl") is None
    assert "app/used.py" in found
    assert "many/m0.py" not in found


def test_a_delta_begins_with_what_starts_read(cli: CommandLine) -> None:
    tree = cli.folder / "tree"
    write_tree({"blob.bin": bytes(range(256)) * 400}, tree)
    hash, _ = push(cli)
    profile = record(cli, hash)
    push(cli, "--profile", profile)
    (tree / "pyproject.toml").write_text(
        '[tool.lazyimport]\nprofile = ["../start.jsonl"]\nexclude = ["pyproject.toml"]\n'
    )
    assert "is not below" in cli.run("push", tree, "--store", cli.url, code=1).stderr

    (tree / "pyproject.toml").unlink()
    for name in ("app/used.py", "many/m0.py", "app/main.py"):
        (tree / name).write_text(f"import app.alone, late\nprint({name!r})\n")
    changed, said = push(cli)
    assert "the difference to" in said
    data = open_store(cli.url).read(f"archives/{changed}")
    assert Header.decode(data[:172]).base == hash

    whole, said = push(cli, "--profile", profile)

    assert whole == changed
    assert "the whole archive" in said
    assert {"app/used.py", "app/main.py"} <= set(first(cli, changed))


def test_without_a_profile_the_imports_of_the_check_say_it(cli: CommandLine) -> None:
    (cli.folder / "tree" / "pyproject.toml").write_text(
        '[tool.lazyimport]\ncheck = ["app.main:thing"]\n'
    )

    hash, _ = push(cli)

    found = first(cli, hash)
    assert [path for path in found if path in CODE] == CODE
    assert "data/words.txt" in found
    assert "app/alone.py" not in found
    assert not any(path.startswith("many/") for path in found)


def test_what_is_no_profile_of_this(cli: CommandLine) -> None:
    other = cli.folder / "other.jsonl"
    other.write_text(
        '{"lazyimport_profile":1,"hash":"ab"}\n{"read":"code","path":"x"}\n'
    )
    assert "has nothing of what is packed here" in push(cli, "--profile", other)[1]

    (cli.folder / "empty").mkdir()
    os.mkfifo(cli.folder / "pipe")
    for name, why in (
        ("pipe", "it is no regular file"),
        ("empty", "no profile (*.jsonl) is there"),
        ("nowhere", "No such file or directory"),
        ("tree/late.py", "no profile that this lazyimport can read"),
    ):
        done = cli.run(
            *("push", cli.folder / "tree", "--store", cli.url),
            *("--profile", cli.folder / name),
            code=1,
        )
        assert why in done.stderr
        assert name in done.stderr
