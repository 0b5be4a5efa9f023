"""``lazyimport channel`` and ``keygen``, from a user's seat."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time

import pytest

from lazyimport.registry.history import History
from lazyimport.stores import mutable, open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.cli.conftest import CommandLine


@pytest.fixture(name="two")
def _two(cli: CommandLine, project: Path) -> tuple[str, str]:
    """Two versions in the store, which LAZYIMPORT_STORE names."""
    cli.environ["LAZYIMPORT_STORE"] = cli.url
    first = cli.push(project)
    (project / "shop/prices.py").write_text("def price(count):\n    return 5 * count\n")
    return first, cli.push(project)


@pytest.mark.slow
def test_set_run_roll_back(cli: CommandLine, two: tuple[str, str]) -> None:
    first, second = two

    cli.run("channel", "set", "prod", first, "-m", "first")
    said = cli.run("channel", "set", "prod", second[:7]).stderr

    assert (
        f"channel prod of {cli.url} points to {second} (#2, was {first[:12]})" in said
    )
    again = cli.run("channel", "set", "prod", second, "-m", "why").stderr
    assert "(#2, was " in again
    assert again.endswith("nothing was changed, and the message is not recorded\n")
    assert "15 []\n" == cli.run("run", "prod", "-m", "shop.main").stdout
    assert second == cli.run("channel", "get", "prod").stdout.strip()

    cli.run("channel", "rollback", "prod")

    assert first == cli.run("channel", "get", "prod").stdout.strip()
    log = cli.run("channel", "log", "prod").stdout.splitlines()
    assert ["3", "2", "1"] == [line.split()[0] for line in log[1:]]
    assert first[:12] in log[1]
    assert log[1].endswith("rollback to #1")
    assert log[3].endswith("first")
    assert re.search(r"\w@\w", log[1])
    assert f"prod     3  {first[:12]}" in cli.run("channel", "ls").stdout

    for to in ("2", "#2", second, second[:6]):
        cli.run("channel", "rollback", "prod", to)
        assert second == cli.run("channel", "get", "prod").stdout.strip()

    cli.run("channel", "rm", "prod", "-m", "over")

    assert "was removed" in cli.fail("channel", "get", "prod")
    assert "no channels" in cli.run("channel", "ls").stderr
    assert "(removed)" in cli.run("channel", "log", "prod").stdout


@pytest.mark.slow
def test_wrong_in_many_ways(cli: CommandLine, two: tuple[str, str]) -> None:
    first, second = two
    cli.run("channel", "set", "prod", first)

    assert "no channel 'dev'" in cli.fail("channel", "get", "dev")
    assert "'dev' is no hash, and there is no channel" in cli.fail("show", "dev")
    assert "'abc' is too short for a hash" in cli.fail("show", "abc")
    assert "not the name of a channel" in cli.fail("channel", "set", "a/b", first)
    assert "not the name of a channel" in cli.fail("channel", "set", "", first)
    assert "six or more" in cli.fail("channel", "set", "abcdef", first)
    assert "is not in" in cli.fail("channel", "set", "prod", "0a" * 32)
    assert "no other archive before this one" in cli.fail("channel", "rollback", "prod")
    text = cli.fail("channel", "rollback", "prod", second)
    assert f"has no archive {second} before this one" in text
    assert "no store is named" in cli.fail("channel", "ls", code=2, LAZYIMPORT_STORE="")
    assert first == cli.run("channel", "get", "prod").stdout.strip()


def test_what_others_wrote_does_not_move_the_cursor(
    cli: CommandLine, two: tuple[str, str]
) -> None:
    cli.run("channel", "set", "prod", two[0], "-m", "a\x1b[2Jb\nc\x07d")

    log = cli.run("channel", "log", "prod").stdout

    assert log.splitlines()[1].endswith("a [2Jb c d")
    stored = json.loads((cli.store / "channels/prod.json").read_text())
    assert stored["changes"][0]["message"] == "a\x1b[2Jb\nc\x07d"


@pytest.mark.slow
def test_signed_all_the_way(cli: CommandLine, project: Path) -> None:
    pytest.importorskip("cryptography", reason="needs the extra 'sign'")
    cli.environ["LAZYIMPORT_STORE"] = cli.url
    key = cli.folder / "key"
    public = cli.run("keygen", key).stdout.strip()
    assert f"{public} lazyimport\n" == (cli.folder / "key.pub").read_text()
    assert "key: it exists, and no key is written over" in cli.fail("keygen", key)
    unsigned = cli.push(project)
    trusting: Any = {"LAZYIMPORT_TRUSTED_KEYS": str(cli.folder / "key.pub")}

    text = cli.fail("channel", "set", "prod", unsigned, "--sign", key, **trusting)
    assert f"archive {unsigned} in {cli.url} is not to be trusted: it is not" in text

    signing: Any = {"LAZYIMPORT_SIGNING_KEY": key.read_text()}
    signed = cli.run("push", project, **signing).stdout.strip()
    assert signed == unsigned
    text = cli.fail("channel", "set", "prod", signed, **trusting)
    assert "nothing was changed: what would be #1 of channel 'prod'" in text
    cli.run("channel", "set", "prod", signed)
    text = cli.fail("channel", "rm", "prod", **trusting)
    assert "what would be #2 of channel 'prod'" in text
    assert "it is not signed" in cli.fail("channel", "get", "prod", **trusting)
    assert "it is not signed" in cli.fail("run", "prod", "-m", "shop", **trusting)
    cli.run("channel", "set", "prod", signed, **trusting, **signing)
    shutil.rmtree(cli.cache)
    run = cli.run("run", "prod", "-m", "shop.main", **trusting)
    assert "30 []\n" == run.stdout

    text = cli.fail("push", project, "--sign", cli.folder / "none")
    assert "No such file" in text


@pytest.mark.slow
def test_what_is_not_signed_is_marked_and_not_signed(
    cli: CommandLine, two: tuple[str, str]
) -> None:
    """Whoever writes to the store wants an operator to sign what they put there."""
    pytest.importorskip("cryptography", reason="needs the extra 'sign'")
    first, second = two
    key, new = cli.folder / "key", cli.folder / "new"
    public = cli.run("keygen", key).stdout.strip()
    print_of = cli.run("keygen", new).stdout.strip()
    cli.run("sign", first, "--sign", key)
    cli.run("channel", "set", "prod", first, "--sign", key)
    cli.run("channel", "set", "prod", second)  # the attacker, without a key
    trusting: Any = {"LAZYIMPORT_TRUSTED_KEYS": public}

    rows = cli.run("channel", "log", "prod", **trusting).stdout.splitlines()
    assert ["SIGNED" in rows[0], "no" in rows[1].split()] == [True, True]
    assert "  SHA256:" in rows[2]
    unchecked = cli.run("channel", "log", "prod")
    assert "  not checked" in unchecked.stdout
    assert "set LAZYIMPORT_TRUSTED_KEYS" in unchecked.stderr
    log = json.loads(cli.run("channel", "log", "prod", "--json", **trusting).stdout)
    assert [bool(change["verified_by"]) for change in log] == [False, True]
    others: Any = {"LAZYIMPORT_TRUSTED_KEYS": print_of}
    assert "by a trusted key" in cli.run("channel", "log", "prod", **others).stdout

    assert not cli.run("channel", "log", "prod", **trusting).stderr
    for words in (["channel", "set", "dev", second[:9]], ["sign", second[:9]]):
        text = cli.fail(*words, "--sign", key)
        assert f"write all 64 digits if that is right: archive {second}" in text
    text = cli.fail("sign", "prod", "--sign", key)
    assert "it is not signed" in text
    assert "name it by all 64 digits of its hash" in text
    assert "it is not signed" in cli.fail("show", second[:9], **trusting)
    cli.run("show", first[:9], **trusting)
    said = cli.run("channel", "rollback", "prod", "--sign", key).stderr
    assert f"points to {first}" in said

    both: Any = {"LAZYIMPORT_TRUSTED_KEYS": f"{public},{print_of}"}
    text = cli.fail("sign", first, "--channel", "dev", "--sign", new)
    assert "no channel 'dev'" in text
    said = cli.run("sign", "prod", "--channel", "prod", "--sign", new, **both).stderr
    assert "was already signed with SHA256:" in said
    assert first == cli.run("channel", "get", "prod", **others).stdout.strip()
    assert "with which key?" in cli.fail("sign", first, code=2)
    cli.run("channel", "set", "prod", second, "--sign", new)
    text = cli.fail("sign", first, "--channel", "prod", "--sign", new)
    assert f"does not point to {first}" in text


def test_channel_that_expires(cli: CommandLine, two: tuple[str, str]) -> None:
    said = cli.run("channel", "set", "prod", two[0], "--expires", "30d").stderr
    assert ", until 20" in said
    environ: Any = {"LAZYIMPORT_CHANNEL_EXPIRES": "1s"}
    cli.run("channel", "refresh", "prod", **environ)
    time.sleep(1.1)

    text = cli.fail("channel", "get", "prod")
    assert "expired at 20" in text
    assert "lazyimport channel refresh prod" in text
    cli.run("channel", "refresh", "prod", "--expires", "never")
    assert two[0] == cli.run("channel", "get", "prod").stdout.strip()
    assert "does not expire" in cli.fail("channel", "refresh", "prod")
    for wrong in ("soon", "0d", "9999w"):
        text = cli.fail("channel", "refresh", "prod", "--expires", wrong, code=2)
        assert "neither an age such as 30d nor never" in text or "not an age" in text


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git")
def test_log_names_the_commit_of_the_archive(cli: CommandLine, project: Path) -> None:
    cli.environ["LAZYIMPORT_STORE"] = cli.url
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True)[:12]

    first = cli.run("push", project, "--channel", "dev").stdout.strip()
    assert f"  {head}  " in cli.run("channel", "log", "dev").stdout

    (project / "shop/prices.py").write_text("price = 7\n")
    cli.run("push", project, "--channel", "dev")
    assert f"  {head}+  " in cli.run("channel", "log", "dev").stdout
    for asked in ("channel log dev", "channel ls", "log"):
        for facts in json.loads(cli.run(*asked.split(), "--json").stdout):
            assert (head, 40) == (facts["commit"][:12], len(facts["commit"]))
            assert facts["dirty"] is (facts["hash"] != first)


def test_json_for_scripts(cli: CommandLine, two: tuple[str, str]) -> None:
    for name in two:
        cli.run("channel", "set", "prod", name, "-m", "why")
    log = json.loads(cli.run("channel", "log", "prod", "--json").stdout)
    (listed,) = json.loads(cli.run("channel", "ls", "--json").stdout)

    assert [(2, two[1]), (1, two[0])] == [(c["number"], c["hash"]) for c in log]
    assert {"channel": "prod", **log[0]} == listed
    assert "why" == listed["message"]


def test_push_to_a_channel(cli: CommandLine, project: Path) -> None:
    done = cli.run("push", project, "--store", cli.url, "--channel", "dev", "-m", "why")
    name = done.stdout.strip()

    assert "channel dev" in done.stderr
    log = cli.run("channel", "log", "dev", "--store", cli.url).stdout
    assert name[:12] in log
    assert "why" in log
    text = cli.fail("push", project, "--store", cli.url, "--channel", "no/t", "-q")
    assert "not the name of a channel" in text


def test_log(cli: CommandLine, two: tuple[str, str]) -> None:
    first, second = two
    history = History(str(cli.cache), mutable(open_store(cli.url)))
    history.add(history.begin("shop", None, first)._replace(outcome="running"))
    cli.run("channel", "set", "prod", second, "-m", "the fix")

    done = cli.run("log")
    rows = [re.split(r"  +", line) for line in done.stdout.splitlines()]

    header = ["WHEN", "WHAT", "ARCHIVE", "SIZE", "BY", "COMMIT", "MESSAGE"]
    assert header == rows[0]
    (channel,) = [row for row in rows if row[1] == "channel prod"]
    assert (second[:12], "the fix") == (channel[2], channel[-1])
    assert {first[:12], second[:12]} == {row[2] for row in rows if row[1] == "push"}
    assert [first[:12]] == [row[2] for row in rows if row[-1] == "runs in shop"]
    assert "4 events of" in done.stderr
    found = json.loads(cli.run("log", "--json", "-n", "1").stdout)
    assert 1 == len(found)
    assert {"at", "kind", "subject", "hash", "by", "trusted"} <= found[0].keys()
