"""What a person reads when it does not work, at three in the morning.

Each message must name what it is about (hash, store, file) and what to do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.fakes import services
from tests.support.disks import LIMITED, mounted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.cli.conftest import CommandLine

UNKNOWN = "0123456789abcdef" * 4


def says(text: str, *parts: object) -> None:
    """Assert that every part is said, and every line under our name."""
    for part in parts:
        assert str(part) in text
    assert all(line.startswith("lazyimport: ") for line in text.splitlines()), text


def test_unknown_hash(cli: CommandLine, project: Path) -> None:
    cli.push(project)
    for words in (
        ("run", UNKNOWN, "-m", "shop.main"),
        ("ls", UNKNOWN),
        ("show", UNKNOWN),
    ):
        command, name, *rest = words
        text = cli.fail(command, name, "--store", cli.url, *rest)

        says(text, UNKNOWN, cli.url, "node cache", "check the hash")


def test_unknown_hash_and_no_store(cli: CommandLine) -> None:
    text = cli.fail("run", UNKNOWN, "-m", "shop.main")

    says(text, UNKNOWN, cli.cache, "set LAZYIMPORT_STORE")


def test_unknown_prefix(cli: CommandLine, project: Path) -> None:
    cli.push(project)

    says(cli.fail("ls", "abcdef12"), "abcdef12", cli.cache, "--store")
    text = cli.fail("ls", "abcdef12", "--store", cli.url)
    says(text, "abcdef12", cli.url, f"lazyimport ls --store {cli.url}")


@pytest.mark.parametrize("command", ["ls", "run"])
def test_mistyped_variable(cli: CommandLine, project: Path, command: str) -> None:
    hash_ = cli.push(project)
    rest = ["-m", "shop.main"] if command == "run" else []

    done = cli.run(command, hash_, *rest, LAZYIMPORT_TIMOUT="3")

    said = "LAZYIMPORT_TIMOUT is set and does nothing; did you mean LAZYIMPORT_TIMEOUT?"
    assert done.stderr.startswith(f"warning: {said}\n")
    assert done.stderr.count("TIMOUT") == 1


@pytest.mark.parametrize("place", ["here", "PYTHONPATH"])
def test_files_named_like_the_standard_library(
    cli: CommandLine, project: Path, tmp_path: Path, place: str
) -> None:
    """Commands do without them; a program that is run finds what it always does."""
    # those that `python -m` itself does without
    names = "select random signal string json tempfile difflib socket platform mine"
    own = tmp_path / "own"
    own.mkdir()
    for name in names.split():
        (own / f"{name}.py").write_text("raise SystemExit(__name__)")
    (project / "shop" / "own.py").write_text("import mine")
    here = {"cwd": own, "PYTHONSAFEPATH": ""}
    words: dict[str, Any] = here if place == "here" else {"PYTHONPATH": str(own)}

    hash_ = cli.push(project, **words)
    cli.run("ls", "--long", hash_, **words)
    ended = cli.run("run", hash_, "-m", "shop.own", code=1, **words)

    assert "mine\n" == ended.stderr


def test_page_in_place_of_what_the_store_has(cli: CommandLine, tmp_path: Path) -> None:
    """Nothing is wrong with what was pushed, so no message says to push it again."""
    pytest.importorskip("obstore", reason="needs the extra 'objects'")
    with services.web_server(tmp_path, services.Portal) as url:
        for command, name in (
            ("show", UNKNOWN),
            ("run", UNKNOWN),
            ("run", f"{url}/code/app.zip"),
            ("run", f"{url}/code/app-{UNKNOWN}.tar.gz"),
            ("run", "prod"),
        ):
            program = ["-m", "shop.main"] if command == "run" else []
            told = cli.fail(command, name, "--store", f"{url}/code", *program)
            says(told, f"{url}/code: cannot read '", "with a web page", "sign in'")
            assert "push" not in told
        done = cli.run("doctor", "--store", f"{url}/code", code=1)
        assert "FAILED  reading the store" in done.stdout


def test_prefix_of_several(cli: CommandLine) -> None:
    archives = cli.cache / "archives"
    archives.mkdir(parents=True, mode=0o700)
    cli.cache.chmod(0o700)
    names = ["abcdef" + digit * 58 for digit in "12"]
    for name in names:
        (archives / name).touch()

    says(cli.fail("ls", "abcdef"), *names, "write more digits")


@pytest.mark.parametrize("text", ["abc", "zz" * 32, UNKNOWN + "0", "main"])
def test_malformed_hash(cli: CommandLine, text: str) -> None:
    says(cli.fail("show", text), repr(text), "64 hex digits", "lazyimport push")


def test_no_store_is_named(cli: CommandLine, project: Path) -> None:
    text = cli.fail("push", project, code=2)

    says(text, "--store gs://", "LAZYIMPORT_STORE", "lazyimport push --help")


@pytest.mark.parametrize("store", ["nonsense", "ftp://host/x", "s3:/bucket"])
def test_not_a_store(cli: CommandLine, project: Path, store: str) -> None:
    says(cli.fail("push", project, "--store", store), store, "gs://bucket/prefix")


def test_store_that_does_not_exist(cli: CommandLine) -> None:
    for words in (("ls",), ("ls", UNKNOWN), ("run", UNKNOWN, "-mx")):
        head, tail = words[:2], words[2:]
        text = cli.fail(*head, "--store", cli.url, *tail)

        says(text, cli.store, "LAZYIMPORT_STORE")


def test_what_others_wrote_does_nothing_to_the_terminal(cli: CommandLine) -> None:
    """A message in a channel is anybody's who may write to the store."""
    channel = cli.store / "channels/prod.json"
    channel.parent.mkdir(parents=True)
    change = {"number": 1, "hash": None, "by": "x\x1b]0;y\x07", "message": "\x1b[2J"}
    facts = {"format": 1, "channel": "prod", "changes": [change]}
    channel.write_text(json.dumps(facts))

    text = cli.fail("channel", "get", "prod", "--store", cli.url)

    says(text, "prod", cli.url, r"x\x1b]0;y\x07")
    assert all(line.isprintable() for line in text.splitlines())


def test_run_what(cli: CommandLine) -> None:
    says(cli.fail("run", UNKNOWN, code=2), "-m MODULE")
    says(cli.fail("run", UNKNOWN, "shop.main", code=2), "named with -m shop.main")


def test_module_that_is_not_in_the_archive(cli: CommandLine, project: Path) -> None:
    name = cli.push(project)

    text = cli.fail("run", name, "-m", "shop.mian")
    says(text, "shop.mian", name, "nearest names in it: shop.main")
    text = cli.fail("run", name, "-m", "shpo")
    says(text, "'shpo'", name, "nearest names in it: shop")
    text = cli.fail("run", name, "-m", "shpo.main")
    says(text, "'shpo.main'", "'shpo'", name, "nearest names in it: shop")
    assert "Error while finding" not in text
    assert 1 == text.count("nearest names")
    says(cli.fail("run", name, "-m", "shop"), "shop.__main__", name)
    says(cli.fail("run", name, "-m", "shop/main.py"), "-m shop.main")


def test_empty_tree(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    says(cli.fail("pack", tmp_path / "empty"), "nothing to pack", tmp_path / "empty")


def test_tree_that_is_not_there(cli: CommandLine, tmp_path: Path) -> None:
    says(cli.fail("pack", tmp_path / "nowhere"), tmp_path / "nowhere", "No such file")


def test_module_named_like_one_of_the_standard_library(
    cli: CommandLine, project: Path
) -> None:
    (project / "email.py").write_text("")
    text = cli.fail("push", project, "--store", cli.url)

    says(text, project / "email.py", "'email'", "standard library", "rename or exclude")


def test_every_reason_not_to_pack_at_once(cli: CommandLine, project: Path) -> None:
    (project / "email.py").write_text("")
    (project / "random.py").write_text("")

    text = cli.fail("pack", project)
    says(text, "email.py", "random.py")


def test_python_that_is_not_here(cli: CommandLine, project: Path) -> None:
    says(cli.fail("pack", project, "--python", "3.99"), "3.99", "install it")


def test_configuration_with_a_mistake(cli: CommandLine, project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.lazyimport]\nexlude = []\n")

    says(cli.fail("pack", project), project / "pyproject.toml", "exlude", "exclude")


def test_output_where_nothing_can_be_written(cli: CommandLine, project: Path) -> None:
    text = cli.fail("pack", project, "-q", "-o", cli.folder / "no/where.lza")

    says(text, cli.folder / "no/", "No such file")


def test_cache_that_is_no_folder(cli: CommandLine, project: Path) -> None:
    cli.cache.write_text("")

    says(cli.fail("pack", project), cli.cache, "not a directory")


def test_current_directory_that_was_removed(cli: CommandLine, project: Path) -> None:
    gone = cli.folder / "gone"
    gone.mkdir()
    remove_and_push = 'rmdir "$1"; exec "$2" -m lazyimport push "$3" --store "$4"'
    done = subprocess.run(
        ["sh", "-c", remove_and_push, "sh", gone, sys.executable, project, cli.url],
        cwd=gone,
        env=cli.environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode
    says(done.stderr, "the current directory was removed; change to one")


def test_output_that_is_a_folder(cli: CommandLine, project: Path) -> None:
    text = cli.fail("pack", project, "-q", "-o", cli.folder)

    says(text, f"{cli.folder}: Is a directory")


def test_output_that_is_a_device(cli: CommandLine, project: Path) -> None:
    """Who may do everything would get a file in the place of the device."""
    device = cli.folder / "device"
    os.mkfifo(device)
    name = cli.push(project)

    for what in ("pack", project, "-q"), ("report", name, "--store", cli.url):
        says(cli.fail(*what, "-o", device), device, "so it is not replaced")
        assert device.is_fifo()


def test_a_full_disk(cli: CommandLine, project: Path) -> None:
    """What could not be written is named, though the system does not say it."""
    name = cli.push(project)
    with mounted(cli.folder / "small", "size=4k") as disk:
        (disk / "filled").write_bytes(b"x" * 4096)
        file = disk / "code.lza"
        text = cli.fail("pack", project, "-q", "-o", file)
        says(text, f"{file}: No space left on device")
        folder = disk / "tree"
        text = cli.fail("pull", name, folder)
        says(text, f"{folder}: No space left on device")
        assert ["filled"] == [path.name for path in disk.iterdir()]
        text = cli.fail("push", project, "-q", "--store", f"file://{disk}/store")
        says(text, f"file://{disk}/store", "No space left on device", "make room")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full(
    cli: CommandLine, project: Path, unbuffered: str
) -> None:
    name = cli.push(project)
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lazyimport", "ls", name],
            env={**cli.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert 1 == done.returncode
    last = done.stderr.splitlines()[-1]
    says(last, "standard output", "No space left on device")
    assert ("--verbose" in last) == bool(unbuffered)
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_without_a_name(
    cli: CommandLine, project: Path
) -> None:
    """It is not taken for standard output, which has taken all that there was."""
    cli.push(project)
    program = (
        "import resource, sys; from lazyimport.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\n"
        "sys.exit(main(['cache', 'verify']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**cli.environ, "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode
    says(done.stderr, "Too many open files", "--verbose")
    assert "standard output" not in done.stderr


def test_a_locale_that_is_not_of_utf_8(cli: CommandLine, project: Path) -> None:
    """Names are not taken for others, and no name is said to be wrong."""
    (project / "shop/pr\u00e9cis.txt").write_text("x")
    plain: dict[str, Any] = {
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "C",
    }
    text = cli.fail("pack", project, **plain)
    says(text, "set PYTHONUTF8=1")
    assert "is not UTF-8" not in text

    name = cli.push(project)
    text = cli.fail("pull", name, cli.folder / "out", **plain)
    says(text, "set PYTHONUTF8=1")
    assert not (cli.folder / "out").exists()
    cli.run("pack", project, **{**plain, "PYTHONUTF8": "1"})


def test_store_that_is_named_after_the_module(cli: CommandLine, project: Path) -> None:
    """There everything is for the module, and people try it all the same."""
    name = cli.push(project)
    shutil.rmtree(cli.cache)
    text = cli.fail("run", name, "-m", "shop.main", "--store", cli.url, code=2)

    says(text, name, "write --store before -m")
    text = cli.fail("run", "main", "-m", "shop.main", f"--store={cli.url}", code=2)
    says(text, "'main'", "write --store before -m")
    done = cli.run("run", name, "--store", cli.url, "-m", "shop.main", "--store", "x")
    assert "30 ['--store', 'x']\n" == done.stdout


def test_cache_that_others_may_write_to(cli: CommandLine, project: Path) -> None:
    cli.cache.mkdir()
    cli.cache.chmod(0o777)

    says(cli.fail("pack", project), cli.cache, "LAZYIMPORT_CACHE_DIR")


def test_folders_without_the_rights(cli: CommandLine, project: Path) -> None:
    """The store's are told as the store's, those of the node cache as its."""
    pushed = cli.push(project)
    for number, (folder, advice) in enumerate(
        [
            (cli.store / "archives", "give user id"),
            (cli.cache / "archives", "LAZYIMPORT_CACHE_DIR"),
            (cli.cache / "packs", "LAZYIMPORT_CACHE_DIR"),
        ]
    ):
        (project / "shop/prices.py").write_text(f"price = {number}\n")
        folder.chmod(0o500)
        done = cli.run(
            *("push", project, "-q", "--store", cli.url), code=1, before=LIMITED
        )
        says(done.stderr, folder.parent, "Permission denied", advice)
        folder.chmod(0o700)
    assert [path.name for path in (cli.store / "archives").iterdir()] == [pushed]


class TestDamage:
    """An archive in the store that is not what its name says."""

    def test_truncated(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        data = cli.stored(name).read_bytes()
        cli.tamper(name, data[:-100])

        run = cli.fail("run", name, "--store", cli.url, "-m", "shop.main")
        says(run, name, cli.url, "cut short", f"{len(data) - 100} of {len(data)}")
        says(run, "push the tree again")

    def test_truncated_inside_the_index(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        cli.tamper(name, cli.stored(name).read_bytes()[:200])

        text = cli.fail("ls", name, "--store", cli.url)
        says(text, name, cli.url, "cut short", "push the tree again")

    @pytest.mark.parametrize("data", [b"", b"\x89LZY", b"<html>404</html>" * 9])
    def test_hardly_anything_left(
        self, cli: CommandLine, project: Path, data: bytes
    ) -> None:
        name = cli.push(project)
        cli.tamper(name, data)

        for words in (("show",), ("run", "-mshop.main")):
            text = cli.fail(words[0], name, "--store", cli.url, *words[1:])
            says(text, name, cli.url, "push the tree again")

    def test_push_replaces_half_of_it(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        cli.tamper(name, cli.stored(name).read_bytes()[:-1])

        done = cli.run("push", project, "-q", "--store", cli.url)
        assert f"warning: {cli.url}/archives/{name}: cut short" in done.stderr
        shutil.rmtree(cli.cache)
        done = cli.run("run", name, "--store", cli.url, "-m", "shop.main")
        assert "30 []\n" == done.stdout

    def test_forged(self, cli: CommandLine, project: Path) -> None:
        """A right archive of another hash lies under this key; a push replaces it."""
        name = cli.push(project)
        (project / "shop/prices.py").write_text("def price(count):\n    return 9\n")
        other = cli.folder / "other"
        packed = cli.run("pack", project, "-q", "-o", other).stdout.strip()
        cli.tamper(name, other.read_bytes())

        run = cli.fail("run", name, "--store", cli.url, "-m", "shop.main")
        says(run, name, packed, cli.url, "push the tree again")
        says(
            cli.fail("show", name, "--store", cli.url),
            name,
            packed,
            "push the tree again",
        )
        (project / "shop/prices.py").write_text(
            "def price(count):\n    return 10 * count\n"
        )
        push = cli.run("push", project, "-q", "--store", cli.url)
        assert (
            f"warning: {cli.url}/archives/{name}: this is archive {packed}"
            in push.stderr
        )
        shutil.rmtree(cli.cache)
        done = cli.run("run", name, "--store", cli.url, "-m", "shop.main")
        assert "30 []\n" == done.stdout

    def test_damaged_member(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        data = bytearray(cli.stored(name).read_bytes())
        data[len(data) // 2] ^= 255
        cli.tamper(name, bytes(data))

        text = cli.fail("run", name, "--store", cli.url, "-m", "shop.main")
        says(text, name, cli.url, "damaged", "push the tree again")

    def test_newer_format(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        data = bytearray(cli.stored(name).read_bytes())
        data[8] = 2
        cli.tamper(name, bytes(data))

        for command in (("run", "-mshop.main"), ("ls",)):
            text = cli.fail(command[0], name, "--store", cli.url, *command[1:])
            says(text, name, cli.url, "format 2", "install a newer ray-lazyimport")

    def test_something_else_under_its_name(
        self, cli: CommandLine, project: Path
    ) -> None:
        name = cli.push(project)
        cli.tamper(name, b"<html>404</html>")

        text = cli.fail("run", name, "--store", cli.url, "-m", "shop.main")
        says(text, name, cli.url, "not a lazyimport archive", "push the tree again")

    def test_damaged_file_is_not_pushed(self, cli: CommandLine, project: Path) -> None:
        file = cli.folder / "code.lza"
        cli.run("pack", project, "-q", "-o", file)
        shutil.rmtree(cli.cache)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 255
        file.write_bytes(data)

        text = cli.fail("push", file, "--store", cli.url)
        says(text, file, "damaged", "copy the file again", "nothing was sent")
        assert not cli.store.exists()

    def test_archive_beside_other_roots(self, cli: CommandLine, project: Path) -> None:
        file = cli.folder / "code.lza"
        cli.run("pack", project, "-q", "-o", file)

        text = cli.fail("push", file, project, "--store", cli.url, code=2)
        says(text, file, "alone")


class TestVerbose:
    """Tracebacks are for those who ask."""

    @pytest.mark.parametrize("place", ["before", "after", "environment"])
    def test_shows_where_it_comes_from(self, cli: CommandLine, place: str) -> None:
        words = ["show", "nonsense"]
        if place == "environment":
            done = cli.run(*words, code=1, LAZYIMPORT_VERBOSE="1")
        elif place == "before":
            done = cli.run("--verbose", *words, code=1)
        else:
            done = cli.run(*words, "--verbose", code=1)

        assert "Traceback" in done.stderr
        assert "SettingsError" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("lazyimport: ")
