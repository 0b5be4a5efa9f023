"""`lazyimport check`: what would fail in a worker fails here."""

from __future__ import annotations

import os
import re
import sys

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.cli.conftest import CommandLine


def pushed(cli: CommandLine, project: Path, **files: str) -> str:
    """Push the project with more modules; the hash."""
    for name, text in files.items():
        (project / f"shop/{name}.py").write_text(text)
    return cli.push(project)


def test_what_is_fine(cli: CommandLine, project: Path) -> None:
    done = cli.run("check", pushed(cli, project), "shop.prices:price")

    assert "" == done.stdout
    assert re.search(
        r"shop.prices:price: fine with .*python[0-9.]*, 2 modules",
        done.stderr,
    )


def test_what_the_project_names_is_the_default(cli: CommandLine, project: Path) -> None:
    hash = pushed(cli, project)
    assert "[tool.lazyimport] check" in cli.fail("check", hash, code=2)
    text = '[tool.lazyimport]\ncheck = ["shop.prices:price"]\n'
    (cli.folder / "pyproject.toml").write_text(text)
    done = cli.run("check", hash, cwd=cli.folder)

    assert "shop.prices:price: fine with" in done.stderr


def test_a_missing_dependency_is_named(cli: CommandLine, project: Path) -> None:
    hash = pushed(cli, project, entry="import shop.uses\n", uses="import absent_here\n")
    error = cli.fail_with_traceback("check", hash, "shop.entry")

    assert "shop/uses.py" in error
    assert "lazyimport: ModuleNotFoundError: No module named 'absent_here'\n" in error
    assert "'absent_here' is neither in the archive nor installed for" in error
    assert "--with, --requirements" in error
    assert 1 == error.count("installed"), "it is said once"


def test_a_module_of_this_process_does_not_count(
    cli: CommandLine, project: Path, tmp_path: Path
) -> None:
    """Only what is installed does: PYTHONPATH is not in the image."""
    (tmp_path / "near").mkdir()
    (tmp_path / "near/nearby.py").write_text("")
    hash = pushed(cli, project, entry="import nearby\n")
    path = f"{tmp_path}/near{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    error = cli.fail_with_traceback("check", hash, "shop.entry", PYTHONPATH=path)

    assert "'nearby' is neither" in error


def test_a_syntax_error_is_shown_with_its_line(cli: CommandLine, project: Path) -> None:
    hash = pushed(cli, project, entry="import shop.wrong\n", wrong="x = 1\ndef f(:\n")
    error = cli.fail_with_traceback("check", hash, "shop.entry")

    assert re.search(r"shop/wrong.py\", line 2", error)
    assert "SyntaxError" in error


def test_what_raises_is_shown_from_the_first_own_frame_on(
    cli: CommandLine, project: Path
) -> None:
    error = cli.fail_with_traceback("check", pushed(cli, project), "shop.broken")

    frames = re.findall(r'File ".*/trees/\w+/(.*?)", line \d+', error)
    assert ["shop/broken.py", "shop/deep.py"] == frames
    assert "ValueError: on purpose" in error
    assert "lazyimport/ray" not in error


def test_an_attribute_that_is_not_there(cli: CommandLine, project: Path) -> None:
    error = cli.fail_with_traceback("check", pushed(cli, project), "shop.prices:prize")

    assert "has no attribute 'prize'" in error


def test_a_module_that_is_not_there(cli: CommandLine, project: Path) -> None:
    """A path with dots alone may end with an attribute, but this is what it lacks."""
    error = cli.fail_with_traceback("check", pushed(cli, project), "shop.prizes")

    assert "No module named 'shop.prizes'" in error
    assert "nearest names in it: shop.prices" in error
    assert "has no attribute" in cli.fail_with_traceback(
        "check", pushed(cli, project), "shop.prices.prize"
    )


def test_each_entry_that_fails_is_told(cli: CommandLine, project: Path) -> None:
    """And none of those that do not."""
    hash = pushed(cli, project)
    entries = ("shop.prices:price", "shop.broken", "shop.prices:prize")
    error = cli.fail_with_traceback("check", hash, *entries)

    told = re.findall(rf"cannot import (.*) from {hash}:$", error, re.MULTILINE)
    assert ["shop.broken", "shop.prices:prize"] == told
    assert "ValueError: on purpose" in error
    assert "has no attribute 'prize'" in error


def test_an_archive_that_is_nowhere(cli: CommandLine, project: Path) -> None:
    """The child's traceback is of no use to anybody."""
    cli.push(project)
    hash = "0123456789abcdef" * 4
    error = cli.fail("check", hash, "shop.prices", "--store", cli.url)

    (line,) = error.splitlines()
    assert f"archive {hash} is neither in {cli.url} nor in the node cache" in line


def test_a_module_that_ends_the_process(cli: CommandLine, project: Path) -> None:
    hash = pushed(cli, project, entry="import os\nos._exit(9)\n")

    assert "ended with exit code 9" in cli.fail("check", hash, "shop.entry")


def test_a_module_that_starts_a_thread(cli: CommandLine, project: Path) -> None:
    """In a worker it may run for ever; nobody has to wait for it here."""
    text = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"

    cli.run("check", pushed(cli, project, entry=text), "shop.entry")


def test_what_this_process_was_to_run_does_not_count(
    cli: CommandLine, project: Path
) -> None:
    """The child imports what is asked for, and from nothing else."""
    hash = pushed(cli, project)
    cli.run(
        "push", project, "--exclude", "deep.py", "--channel", "prod", "--store", cli.url
    )

    cli.run(
        "check",
        hash,
        "shop.prices",
        LAZYIMPORT_CHANNEL="prod",
        LAZYIMPORT_STORE=cli.url,
    )


def test_a_name_that_is_installed_too_is_told(cli: CommandLine, project: Path) -> None:
    (project / "packaging").mkdir()
    (project / "packaging/__init__.py").write_text("")
    done = cli.run("check", pushed(cli, project), "shop.prices")

    assert "packaging of the archive wins over the one installed in" in done.stderr


def test_a_name_that_no_worker_survives_is_refused(
    cli: CommandLine, project: Path
) -> None:
    (project / "lazyimport.py").write_text("")
    error = cli.fail("check", pushed(cli, project), "shop.prices")

    assert "has a 'lazyimport' of its own" in error


def test_an_interpreter_that_is_not_there(cli: CommandLine, project: Path) -> None:
    error = cli.fail(
        "check", pushed(cli, project), "shop", "--check-python", "/no/python"
    )

    assert "cannot run /no/python" in error


def test_push_sends_nothing_that_fails(cli: CommandLine, project: Path) -> None:
    cli.fail_with_traceback(
        "push", project, "--store", cli.url, "--check", "shop.broken"
    )
    assert not (cli.store / "archives").exists()

    cli.run("push", project, "--store", cli.url, "--check", "shop.prices:price")
    assert 1 == len(os.listdir(cli.store / "archives"))


def test_what_was_packed_is_told_before_it_is_checked(
    cli: CommandLine, project: Path
) -> None:
    pytest.importorskip("ruamel.yaml")
    file = cli.folder / "serve.yaml"
    file.write_text("applications:\n  - import_path: shop.prices:price\n")
    pushing = ("--push", project, "--store", cli.url, "--check")
    for dry_run in (("--dry-run",), ()):
        told = cli.run("deploy", file, *pushing, *dry_run).stderr

        assert told.index("packed ") < told.index("shop.prices:price: fine with ")
        assert 1 == told.count("packed ")
    file.write_text("applications:\n  - import_path: shop.broken:app\n")
    told = cli.fail_with_traceback("deploy", file, *pushing)
    assert told.index("packed ") < told.index("ValueError: on purpose")


def test_deploy_checks_the_import_path(cli: CommandLine, project: Path) -> None:
    pytest.importorskip("ruamel.yaml")
    hash = pushed(cli, project)
    file = cli.folder / "serve.yaml"
    text = "applications:\n  - import_path: shop.broken:app\n"
    file.write_text(text)
    store = ("--store", cli.url)
    error = cli.fail_with_traceback("deploy", file, "--hash", hash, *store, "--check")
    assert "ValueError: on purpose" in error
    assert text == file.read_text()

    cli.run("deploy", file, "--hash", hash, *store, "--check", "shop.prices")
    assert hash in file.read_text()


def test_imports_in_functions_are_looked_at(cli: CommandLine, project: Path) -> None:
    """Also below namespaces, which neither Python nor we import for that."""
    (project / "shop/space/deep").mkdir(parents=True)
    (project / "shop/space/deep/late.py").write_text("def f():\n    import gone_late\n")
    text = """\
def f():
    import click.testing, gone
    from shop.space.deep import late, later
    if late:
        import perhaps
    try:
        import optional
    except ImportError:
        pass
"""
    hash = pushed(cli, project, entry=text)
    error = cli.fail_with_traceback("check", hash, "shop.entry:f")

    places = re.findall(r"(\S+:\d+): imports '([\w.]+)', which is neither", error)
    assert places == [
        ("shop/entry.py:2", "gone"),
        ("shop/entry.py:3", "shop.space.deep.later"),
        ("shop/space/deep/late.py:2", "gone_late"),
    ]
    text = "def f(x):\n    if x:\n        import perhaps\n"
    done = cli.run("check", pushed(cli, project, entry=text), "shop.entry:f")
    assert "warning: shop/entry.py:3: imports 'perhaps'" in done.stderr


def test_a_syntax_error_that_only_a_function_reaches(
    cli: CommandLine, project: Path
) -> None:
    hash = pushed(cli, project, entry="def f():\n    import shop.wrong\n", wrong="f(:")
    error = cli.fail("check", hash, "shop.entry")

    assert "shop/wrong.py:1: SyntaxError: " in error


def test_optional_imports_of_a_packed_distribution_are_its_own(
    cli: CommandLine, project: Path
) -> None:
    (project / "lib").mkdir()
    (project / "lib/__init__.py").write_text("def f():\n    import gone\n")
    hash = pushed(cli, project, entry="def f():\n    import lib\n")
    assert "lib/__init__.py:2" in cli.fail("check", hash, "shop.entry")

    (project / "lib-1.dist-info").mkdir()
    (project / "lib-1.dist-info/METADATA").write_text("Name: lib\nVersion: 1\n")
    (project / "lib-1.dist-info/RECORD").write_text("lib/__init__.py,,\n")
    cli.run("check", pushed(cli, project), "shop.entry")
    assert "lib/__init__.py:2" in cli.fail("check", pushed(cli, project), "lib")


#: stands for Docker: what its client documents of these options, and nothing else.
#: Where the folder is mounted is not really there, so it is renamed on the way in.
DOCKER = """\
#!{python}
import json, os, subprocess, sys

words = sys.argv[1:]
if words == ["version"]:
    sys.exit()
assert words.pop(0) == "run", words
flags, values = set(), {{}}
while words[0].startswith("-"):
    option = words.pop(0)
    if option in ("--rm", "--interactive"):
        flags.add(option)
    else:
        assert option in ("--entrypoint", "--mount", "--env"), option
        values.setdefault(option, []).append(words.pop(0))
assert flags == {{"--rm", "--interactive"}}, flags
if words.pop(0) != "registry.example/ray:1":
    sys.exit("docker: Error response from daemon: pull access denied")
mount = dict(pair.split("=") for pair in values["--mount"][0].split(","))
assert mount["type"] == "bind" and os.stat(mount["source"]).st_mode & 0o777 == 0o777
assert values["--entrypoint"] == ["python"]
inside = lambda text: text.replace(mount["target"], mount["source"])
environ = dict(inside(pair).split("=") for pair in values["--env"])
environ["LAZYIMPORT_CACHE_DIR"] = os.environ["HOME"] + "/cache-of-the-container"
text = inside(sys.stdin.read())
done = subprocess.run([{python!r}, *words], input=text, text=True, env=environ, cwd="/")
sys.exit(done.returncode)
"""


def with_docker(folder: Path) -> dict[str, str]:
    """Return the variables of a machine that has nothing but docker."""
    (folder / "docker").write_text(DOCKER.format(python=sys.executable))
    (folder / "docker").chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder)}


def test_in_a_container_of_the_image(
    cli: CommandLine, project: Path, tmp_path: Path
) -> None:
    """The archive comes along: the container has no credentials for the store."""
    hash = pushed(cli, project, entry="import shop.uses\n", uses="import absent_here\n")
    there: Any = with_docker(tmp_path)
    image = ("--image", "registry.example/ray:1")

    done = cli.run("check", hash, "shop.prices", *image, **there)
    assert "shop.prices: fine with registry.example/ray:1, 2 modules" in done.stderr
    assert (tmp_path / "cache-of-the-container").exists()

    error = cli.fail_with_traceback("check", hash, "shop.entry", *image, **there)
    assert "neither in the archive nor installed for registry.example/ray:1" in error
    wrong = cli.fail("check", hash, "shop.prices", "--image", "wrong", **there)
    assert "wrong ended with exit code 1 before archive" in wrong
    assert "pull access denied" in wrong


def test_without_docker_and_podman(
    cli: CommandLine, project: Path, tmp_path: Path
) -> None:
    hash = pushed(cli, project)
    said = cli.fail("check", hash, "shop", "--image", "x", PATH=str(tmp_path))

    assert "docker is not on PATH; podman is not on PATH" in said
    assert "--check-python PATH" in said


def test_a_client_of_docker_without_its_daemon(
    cli: CommandLine, project: Path, tmp_path: Path
) -> None:
    hash = pushed(cli, project)
    there: Any = with_docker(tmp_path)
    check = ("check", hash, "shop", "--image", "registry.example/ray:1")
    (tmp_path / "docker").rename(tmp_path / "podman")
    (tmp_path / "docker").write_text("#!/bin/sh\necho no daemon >&2; exit 1\n")
    (tmp_path / "docker").chmod(0o755)
    assert "shop: fine" in cli.run(*check, **there).stderr

    (tmp_path / "podman").unlink()
    said = cli.fail(*check, **there)
    assert "'docker version' fails: no daemon; podman is not on PATH" in said
