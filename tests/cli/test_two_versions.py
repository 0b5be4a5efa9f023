"""Two versions of lazyimport share a cache and a store, and neither harms the other."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import lazyimport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

#: Waits for a line, then imports another module and opens a file beside the code.
WAITS = """\
import sys
import shop
print("ready", flush=True)
sys.stdin.readline()
from shop.prices import price
with open(shop.__path__[0] + "/templates/page.html") as page:
    print(price(3), page.read().strip())
"""


@pytest.fixture(name="later")
def _later(tmp_path: Path) -> str:
    """A folder with a later lazyimport: this one, with the next archive format."""
    package = tmp_path / "later" / "lazyimport"
    shutil.copytree(os.path.dirname(lazyimport.__file__), package)
    for name, old, new in [
        ("format/sections.py", "\nVERSION = 1\n", "\nVERSION = 2\n"),
        ("format/index.py", 'b"LZYROOT1"', 'b"LZYROOT2"'),
    ]:
        text = (package / name).read_text()
        assert text.count(old) == 1
        (package / name).write_text(text.replace(old, new))
    return str(package.parent)


@pytest.mark.slow
def test_side_by_side(cli: CommandLine, project: Path, later: str) -> None:
    (project / "shop/stays.py").write_text(WAITS)
    own = cli.push(project)
    other = cli.push(project, PYTHONPATH=later)
    kept = (cli.cache / "archives" / other).read_bytes()
    assert own != other

    # each runs its own, and what the earlier one does leaves the later alone
    children = [
        waiting(cli, own),
        waiting(cli, other, PYTHONPATH=later),
    ]
    verified = cli.run("cache", "verify")
    assert "1 archive and" in verified.stderr
    assert "all sound" in verified.stderr
    assert "1 archive of a newer lazyimport, not looked at" in verified.stderr
    assert cli.run("cache", "clear", code=1).stdout.count("in use") == 2
    refused = cli.fail("run", other, "--store", cli.url, "-m", "shop.main")
    assert "archive format 2, and this lazyimport reads up to 1" in refused
    assert (cli.cache / "archives" / other).read_bytes() == kept

    # a push finds no base in what it cannot read
    (project / "shop/prices.py").write_text("def price(count): return 0\n")
    cli.push(project)
    for child in children:
        assert child.communicate("\n", timeout=60) == ("30 <p>hello</p>\n", "")

    # what nobody uses may go, whose it is
    cli.run("cache", "clear")
    assert list((cli.cache / "archives").iterdir()) == []
    asked = ("--store", cli.url, "-m", "shop.main")
    assert cli.run("run", own, *asked).stdout == "30 []\n"
    assert cli.run("run", other, *asked, PYTHONPATH=later).stdout == "30 []\n"


def waiting(cli: CommandLine, name: str, **environ: str) -> subprocess.Popen[str]:
    run = ("run", name, "-m", "shop.stays")
    child = cli.start(*run, stdin=subprocess.PIPE, **environ)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child
