"""Activation by environment: the .pth of the wheel, sitecustomize, and failure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from lazyimport import activation
from lazyimport.cache.node import NodeCache
from lazyimport.delivery.publish import publish
from lazyimport.registry.channels import set_channel
from lazyimport.stores import mutable, open_store
from tests.support.compare_importers import pack_tree, write_tree

TREE = {
    "shipped/__init__.py": "",
    "shipped/work.py": "def double(x):\n    return 2 * x\n",
    "shipped/__main__.py": "import sys\nprint('main of', __package__, sys.argv[1:])\n",
}
UNKNOWN = "0123456789abcdef" * 4
START_UP_FILE = os.path.join(sysconfig.get_path("purelib"), "lazyimport.pth")

# tests/test_packaging.py shows that the wheel brings it
pytestmark = pytest.mark.skipif(
    not os.path.exists(START_UP_FILE), reason="lazyimport is not installed as a wheel"
)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def packed(tmp_path: Path, cache: Path) -> str:
    return pack_tree(write_tree(TREE, tmp_path / "tree"), cache)


def python(
    *arguments: str, cache: Path, hash_: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python that its environment activates, through the wheel's .pth."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}
    named = {"LAZYIMPORT_HASH": hash_} if hash_ else {}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**clean, **named, "LAZYIMPORT_CACHE_DIR": str(cache), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("flags", ["-I", "-E"])
def test_what_ignores_the_environment_is_not_activated(cache: Path, flags: str) -> None:
    """A program that shields itself from its caller so runs no code of the caller."""
    done = python(flags, "-c", "print(1)", cache=cache, hash_=UNKNOWN)

    assert (done.stdout, done.stderr) == ("1\n", "")


def test_what_is_set_before_the_start_up_file_activates(
    packed: str, cache: Path
) -> None:
    """Such as by a file of somebody else, whose name comes before."""
    program = f"""if True:
        import os, site
        os.environ["LAZYIMPORT_HASH"] = {packed!r}
        site.main()
        import shipped.work; print(shipped.work.double(2))"""

    done = python("-S", "-c", program, cache=cache, hash_="")

    assert (done.stdout, done.stderr) == ("4\n", "")


@pytest.mark.parametrize("flags", [[], ["-s", "-P"]], ids=str)
def test_environment_activates(packed: str, cache: Path, flags: list[str]) -> None:
    if "-P" in flags and sys.version_info < (3, 11):
        flags = ["-s"]

    done = python(
        *flags,
        "-c",
        "from shipped.work import double; print(double(4))",
        cache=cache,
        hash_=packed,
    )

    assert (done.stdout, done.stderr) == ("8\n", "")


def test_python_dash_m(packed: str, cache: Path) -> None:
    done = python("-m", "shipped", "a", cache=cache, hash_=packed)

    assert (done.stdout, done.stderr) == ("main of shipped ['a']\n", "")


@pytest.mark.parametrize(
    "words", [["-m", "lazyimport"], [f"{os.path.dirname(sys.executable)}/lazyimport"]]
)
def test_own_commands_do_not_wait_for_an_archive(cache: Path, words: list[str]) -> None:
    store = {"LAZYIMPORT_STORE": "http://127.0.0.1:9/nobody"}
    done = python(*words, "--version", cache=cache, hash_=UNKNOWN, **store)

    assert (0, "") == (done.returncode, done.stderr)
    done = python("-c", "", *words, cache=cache, hash_=UNKNOWN)
    assert "is not installed in process" in done.stderr


@pytest.mark.parametrize("name", ["HASH", "CHANNEL", "ARTIFACT"])
def test_what_is_no_name_of_an_archive_forges_no_line(cache: Path, name: str) -> None:
    value = {f"LAZYIMPORT_{name}": "x\nERROR \x1b[2J"}
    done = python("-c", "import shipped", cache=cache, hash_="", **value)

    assert "is not installed" in done.stderr
    assert "\x1b" not in done.stderr
    assert not re.search("^ERROR", done.stderr, re.MULTILINE)


def test_starting_twice_installs_once(packed: str, cache: Path) -> None:
    done = python(
        "-c",
        "import sys, lazyimport.activation as a\na.start(); a.start()\n"
        "print(sum(type(f).__name__ == 'ArchiveFinder' for f in sys.meta_path))",
        cache=cache,
        hash_=packed,
    )

    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork", None])
def test_multiprocessing_children_run_the_same_archive(
    packed: str, cache: Path, tmp_path: Path, method: str | None
) -> None:
    """install() in the parent is enough, whatever the start method.

    None is the default, which differs between Pythons.
    """
    script = tmp_path / "script.py"
    script.write_text(
        "import lazyimport, multiprocessing as m\n"
        "if __name__ == '__main__':\n"
        f"    lazyimport.install({packed!r}, cache_dir={str(cache)!r})\n"
        "    from shipped.work import double\n"
        f"    with m.get_context({method!r}).Pool(2) as pool:\n"
        "        print(pool.map(double, [1, 2, 3]))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout == "[2, 4, 6]\n", done.stderr


def test_subprocess_of_the_same_python_is_activated(packed: str, cache: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import lazyimport, subprocess, sys\n"
                f"lazyimport.install({packed!r}, cache_dir={str(cache)!r})\n"
                "subprocess.run([sys.executable, '-m', 'shipped'], check=True)\n"
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "main of shipped []\n", done.stderr


FAILURES = {
    "unknown hash, no store": (UNKNOWN, {}, ["ArchiveMissing", "LAZYIMPORT_STORE"]),
    "malformed hash": ("4be8", {}, ["SettingsError", "64 hex digits"]),
    "store missing": (
        UNKNOWN,
        {"LAZYIMPORT_STORE": "file:///nowhere/at/all"},
        ["StoreMissing", "file:///nowhere/at/all"],
    ),
    "store of an unknown kind": (
        UNKNOWN,
        {"LAZYIMPORT_STORE": "ftp://host/x"},
        ["SettingsError", "ftp"],
    ),
}


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_failure_lets_the_process_start_and_says_why(
    case: tuple[str, dict[str, str], list[str]], cache: Path
) -> None:
    """One line on stderr says why at the start, and so does the import that fails."""
    hash_, environ, says = case

    done = python(
        "-c",
        "import json, sys\nprint('started')\nimport importlib.util\n"
        "print(importlib.util.find_spec('shipped'))\n"
        "try: import shipped.work\n"
        "except ModuleNotFoundError as error: print(error.name, '|', error, *getattr(error, '__notes__', ()))",
        cache=cache,
        hash_=hash_,
        **environ,
    )

    started, spec, message = done.stdout.split("\n", 2)
    assert (started, spec) == ("started", "None")
    assert message.startswith("shipped | No module named 'shipped'")
    assert done.returncode == 0
    for text in [hash_, *says]:
        assert text in message
        assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_channel_activates_and_says_what_it_points_to(
    packed: str, cache: Path, tmp_path: Path
) -> None:
    """Once: processes that this one starts are told the hash, and ask nobody."""
    store = mutable(open_store(f"file://{tmp_path}/store"))
    node = NodeCache(str(cache))
    archive = node.open(packed)
    assert archive is not None
    publish(archive, store, node)
    set_channel(store, "prod", packed, by="ada")

    done = python(
        "-c",
        "import subprocess, sys, shipped.work, lazyimport.activation as a\n"
        "a.start()\n"
        "code = 'import lazyimport as l; print(l.current().hash, l.current().channel)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)",
        cache=cache,
        hash_="",
        LAZYIMPORT_CHANNEL="prod",
        LAZYIMPORT_STORE=store.url,
    )

    assert done.stdout == f"{packed} None\n"
    assert done.stderr == f"lazyimport: channel prod points to archive {packed}\n"


def test_channel_that_cannot_be_looked_up(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()

    done = python(
        "-c",
        "print('started'); import shipped",
        cache=cache,
        hash_="",
        LAZYIMPORT_CHANNEL="prod",
        LAZYIMPORT_STORE=f"file://{tmp_path}/store",
    )

    assert done.stdout == "started\n"
    assert done.returncode == 1
    said = "the archive of channel prod is not installed in process"
    assert done.stderr.startswith(f"lazyimport: {said}")
    reason = f"ChannelError: there is no channel 'prod' in file://{tmp_path}/store"
    assert done.stderr.count(reason) == 2


def test_failure_shows_no_password(cache: Path) -> None:
    """Of an artifact's URL, neither at the start nor where an import fails."""
    done = python(
        "-c",
        "import shipped",
        cache=cache,
        hash_="",
        LAZYIMPORT_ARTIFACT="https://bob:hunter2@127.0.0.1:9/app.zip?token=hunter2",
        LAZYIMPORT_TIMEOUT="0.5",
    )

    assert done.stderr.count("artifact https://127.0.0.1:9/app.zip") == 2
    assert "ArchiveModuleMissing: No module named 'shipped'" in done.stderr
    assert "hunter2" not in done.stderr
    assert "bob" not in done.stderr


def test_stderr_may_be_any_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not every object that an application puts there has a descriptor."""
    monkeypatch.setattr(sys, "stderr", object())

    activation._say("what nobody reads")


@pytest.mark.parametrize("stderr", ["nobody reads it", "full"])
def test_a_process_starts_though_the_failure_cannot_be_said(
    cache: Path, stderr: str
) -> None:
    """As when the process that collects the logs has died."""
    if stderr == "full":
        end = os.open("/dev/full", os.O_WRONLY)
    else:
        other, end = os.pipe()
        os.close(other)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "print('started')"],
            env={
                **os.environ,
                "LAZYIMPORT_HASH": UNKNOWN,
                "LAZYIMPORT_CACHE_DIR": str(cache),
            },
            stdout=subprocess.PIPE,
            stderr=end,
            timeout=60,
            check=False,
        )
    finally:
        os.close(end)

    assert (done.returncode, done.stdout) == (0, b"started\n")


def test_failure_is_said_once_though_activation_runs_twice(cache: Path) -> None:
    done = python(
        "-c",
        "import lazyimport.activation as a; a.start()",
        cache=cache,
        hash_=UNKNOWN,
    )

    assert done.stderr.count("is not installed in process") == 1


@pytest.mark.parametrize("slip", ["LAZYIMPORT_HAHS", "LAZYIMPORT_ARTEFACT"])
def test_a_mistyped_variable_is_told_at_the_start_and_where_an_import_fails(
    cache: Path, slip: str
) -> None:
    """Once, though activation runs twice; or nothing tells why code is missing."""
    meant = {"LAZYIMPORT_HAHS": "LAZYIMPORT_HASH"}.get(slip, "LAZYIMPORT_ARTIFACT")
    done = python(
        "-c",
        "import lazyimport.activation as a; a.start(); print('started'); import shipped",
        cache=cache,
        hash_="",
        **{slip: UNKNOWN},
    )

    said, *rest = done.stderr.splitlines()
    assert "started\n" == done.stdout
    assert said.startswith(f"lazyimport: the archive of {slip} is not installed in ")
    assert said.endswith(f": there is no such variable; did you mean {meant}?")
    assert f"did you mean {meant}?" in rest[-1]
    assert not [line for line in rest if line.startswith("lazyimport: ")]


def test_a_mistyped_setting_is_told_beside_a_hash(packed: str, cache: Path) -> None:
    said = "LAZYIMPORT_CACHE_MOD is set and does nothing; did you mean "
    done = python(
        "-c",
        "import lazyimport.activation as a; a.start(); import shipped.work, lazyimport;"
        "print(lazyimport.current().settings.cache_mode)",
        cache=cache,
        hash_=packed,
        LAZYIMPORT_CACHE_MOD="memory",
        LAZYIMPORT_WARM="1",  # of a newer lazyimport
    )

    assert "raw\n" == done.stdout
    assert f"lazyimport: {said}LAZYIMPORT_CACHE_MODE?\n" == done.stderr


@pytest.mark.parametrize("name", ["LAZYIMPORT_ARTIFACT_SHA256", "LAZYIMPORT_HAHS"])
def test_variables_that_name_nothing_are_none(cache: Path, name: str) -> None:
    given = "" if name == "LAZYIMPORT_HAHS" else "0" * 64
    done = python("-c", "print(1)", cache=cache, hash_="", **{name: given})

    assert ("1\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("kind", ["hash", "artifact"])
def test_files_named_like_the_standard_library_are_not_loaded(
    packed: str, cache: Path, tmp_path: Path, kind: str
) -> None:
    """A start takes nothing from there that Python can be without."""
    names = "types", "operator", "enum", "typing", "contextlib", "functools", "signal"
    own = write_tree(
        {f"{name}.py": "raise OSError\n" for name in names}, tmp_path / "o"
    )
    app = shutil.make_archive(str(tmp_path / "app"), "zip", tmp_path / "tree")
    given = {"LAZYIMPORT_ARTIFACT": f"file://{app}"} if kind == "artifact" else {}

    done = python(
        "-c",
        "import shipped.work; print(shipped.work.double(4))",
        cache=cache,
        hash_="" if kind == "artifact" else packed,
        PYTHONPATH=os.pathsep.join([str(own), os.environ.get("PYTHONPATH", "")]),
        **given,
    )

    assert "8\n" == done.stdout, done.stderr


@pytest.mark.parametrize("name", ["mmap", "enum"])
def test_a_file_that_hides_a_module_of_the_standard_library_is_named(
    packed: str, cache: Path, tmp_path: Path, name: str
) -> None:
    """Of which a start needs few, and live code many."""
    own = write_tree({f"{name}.py": "mine = 1\n"}, tmp_path / "own")
    done = python(
        "-c",
        "print('started')",
        cache=cache,
        hash_=packed,
        PYTHONPATH=os.pathsep.join([str(own), os.environ.get("PYTHONPATH", "")]),
        LAZYIMPORT_LIVE="1",
    )

    said = f"; {own}/{name}.py hides a module of the standard library: rename it"
    assert said in done.stderr
    assert "started\n" == done.stdout


def test_sitecustomize(packed: str, cache: Path, tmp_path: Path) -> None:
    """It takes one line, for environments that allow no start-up files."""
    folder = tmp_path / "custom"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import lazyimport.activation\n\nlazyimport.activation.start()\n"
    )

    done = python(
        "-c",
        "import shipped.work, lazyimport; print(lazyimport.current().hash)",
        cache=cache,
        hash_=packed,
        PYTHONPATH=os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    )

    assert (done.stdout, done.stderr) == (f"{packed}\n", "")


def test_foreign_cache_directory_is_refused(packed: str, cache: Path) -> None:
    """Code from a directory that everybody can write to does not run."""
    cache.chmod(0o777)

    done = python("-c", "import shipped", cache=cache, hash_=packed)

    assert "refusing the node cache" in done.stderr
    assert done.returncode == 1
    assert packed in done.stderr


def test_a_process_that_cannot_be_live_says_so_once_and_starts(
    packed: str, cache: Path
) -> None:
    """As one does whose lazyimport has lost a file, though activation runs twice."""
    program = f"""
import os, sys
sys.modules["lazyimport.live"] = None
os.environ.update(LAZYIMPORT_HASH={packed!r}, LAZYIMPORT_LIVE="1")
from lazyimport import activation
activation.start()
activation.start()
from shipped.work import double
print(double(4))
"""
    done = python("-c", program, cache=cache, hash_="")

    assert done.stdout == "8\n"
    assert 1 == done.stderr.count("is not live, though LAZYIMPORT_LIVE is set: ")
    assert "lazyimport.live" in done.stderr
