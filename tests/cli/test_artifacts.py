"""Artifacts as people have them: built by real tools, named on the command line."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cli.conftest import PROJECT, CommandLine, write
from tests.support.containers import make_container, named_by_hash

PYPROJECT = """\
[project]
name = "shop"
version = "1.2"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
START_UP_FILE = os.path.join(sysconfig.get_path("purelib"), "lazyimport.pth")


def test_run_push_and_pack_name_the_same_archive(
    cli: CommandLine, tmp_path: Path
) -> None:
    path = named_by_hash(make_container(PROJECT, tmp_path / "app.zip"))

    ran = cli.run("run", path, "-m", "shop.main", "a")
    packed = cli.run("pack", f"file://{path}")
    pushed = cli.run("push", path.name, "--store", cli.url, cwd=tmp_path)
    again = cli.run("run", pushed.stdout.strip(), "--store", cli.url, "-m", "shop.main")

    assert ran.stdout == "30 ['a']\n"
    assert again.stdout == "30 []\n"
    assert packed.stdout == pushed.stdout
    assert hashlib.sha256(path.read_bytes()).hexdigest() in packed.stderr
    assert cli.stored(pushed.stdout.strip()).exists()


def test_show_and_ls_take_an_artifact(cli: CommandLine, tmp_path: Path) -> None:
    path = make_container(PROJECT, tmp_path / "app.tar.gz")

    assert "shop/prices.py" in cli.run("ls", path, "-l").stdout
    assert "it has data files" in cli.run("show", path).stdout


def test_packing_options_hold(cli: CommandLine, tmp_path: Path) -> None:
    path = make_container(PROJECT, tmp_path / "app.zip")

    done = cli.run("pack", path, "--exclude", "broken.py", "--exclude", "deep.py")

    listed = cli.run("ls", done.stdout.strip(), "-l").stdout
    assert "shop/main.py" in listed
    assert "shop/broken.py" not in listed


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["pack", "app.zip", "."], 2, "is packed alone"),
        (["pack", "app.zip", "--with", "pytest"], 2, "is packed alone"),
        (["pack", "none.zip"], 1, "there is no artifact file:///"),
        (["run", "bad.zip", "-m", "x"], 1, "bad.zip"),
        (["run", "evil.zip", "-m", "x"], 1, "'../evil.py'"),
        (["push", "gs://app.zip", "--store", "./store"], 1, "not an artifact"),
    ],
)
def test_what_cannot_be(
    cli: CommandLine, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    make_container(PROJECT, tmp_path / "app.zip")
    make_container({"../evil.py": ""}, tmp_path / "evil.zip")
    (tmp_path / "bad.zip").write_text("<html>404</html>")

    assert text in cli.fail(*arguments, code=code, cwd=tmp_path)


def environ_of(cli: CommandLine, **variables: str) -> dict[str, str]:
    return {**cli.environ, **variables}


PROGRAM = """\
import subprocess, sys
import lazyimport
import lazyimport.delivery.artifact as artifact
installed = lazyimport.install()
import shop.prices
print(installed.hash, shop.prices.price(1))
if len(sys.argv) == 1:
    subprocess.run([sys.executable, *sys.orig_argv[1:], "child"], check=True)
"""


def test_one_line_where_the_environment_names_it(
    cli: CommandLine, tmp_path: Path
) -> None:
    """install() alone; children run the same archive, though it has changed since."""
    path = make_container(PROJECT, tmp_path / "app.zip")
    script = tmp_path / "program.py"
    script.write_text(
        PROGRAM.replace(
            "if len",
            f"import pathlib; pathlib.Path({str(path)!r}).unlink(True)\nif len",
        )
    )

    done = subprocess.run(
        [sys.executable, script],
        env=environ_of(cli, LAZYIMPORT_ARTIFACT=str(path)),
        capture_output=True,
        text=True,
        check=True,
    )

    parent, child = done.stdout.splitlines()
    assert parent == child
    assert parent.endswith(" 10")
    assert not path.exists()


@pytest.mark.skipif(
    not os.path.exists(START_UP_FILE), reason="not installed as a wheel"
)
def test_activation(cli: CommandLine, tmp_path: Path) -> None:
    path = named_by_hash(make_container(PROJECT, tmp_path / "app.zip"))
    command = [sys.executable, "-m", "shop.main"]
    for artifact, code, stderr in (
        (path, 0, ""),
        (path.with_name("none.zip"), 1, "there is no artifact"),
    ):
        done = subprocess.run(
            command,
            env=environ_of(cli, LAZYIMPORT_ARTIFACT=f"file://{artifact}"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert stderr in done.stderr


@pytest.mark.skipif(
    not os.path.exists(START_UP_FILE), reason="not installed as a wheel"
)
def test_run_another_than_the_environment_activates(
    cli: CommandLine, tmp_path: Path
) -> None:
    here = named_by_hash(make_container(PROJECT, tmp_path / "here.zip"))
    other = named_by_hash(make_container({"b.py": "print('b')"}, tmp_path / "b.zip"))

    done = cli.run("run", other, "-m", "b", LAZYIMPORT_ARTIFACT=f"file://{here}")

    assert done.stdout == "b\n"


@pytest.mark.slow
def test_wheel_and_sdist_of_a_real_build(cli: CommandLine, tmp_path: Path) -> None:
    """What pip builds from a project with a src/ layout, and installs elsewhere."""
    pip = [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        if uv is None:
            pytest.skip("needs pip or uv")
        pip = [uv, "build", "--wheel", "--no-build-isolation", "--offline"]
    else:
        pip += ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    flag = "--out-dir" if "build" in pip else "--wheel-dir"
    project = write(
        tmp_path / "project",
        {
            **{f"src/{name}": text for name, text in PROJECT.items()},
            "pyproject.toml": PYPROJECT,
            "backend.py": BACKEND,
        },
    )
    subprocess.run([*pip, flag, tmp_path / "dist", project], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    shutil.make_archive(str(tmp_path / "shop-1.2"), "gztar", tmp_path, "project")

    from_wheel = cli.run("run", wheel, "-m", "shop.main")
    from_sdist = cli.run("run", tmp_path / "shop-1.2.tar.gz", "-m", "shop.main")

    assert from_wheel.stdout == from_sdist.stdout == "30 []\n"
    program = "import importlib.metadata as m; print(m.version('shop'))"
    done = subprocess.run(
        [sys.executable, "-c", f"import lazyimport; lazyimport.install(); {program}"],
        env=environ_of(cli, LAZYIMPORT_ARTIFACT=str(wheel)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1.2\n"


#: PEP 517 without a tool to download
BACKEND = """
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "shop-1.2-py3-none-any.whl"
    info = "shop-1.2.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for top, _, files in os.walk("src"):
            for file in files:
                path = os.path.join(top, file)
                wheel.write(path, os.path.relpath(path, "src"))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: shop\\nVersion: 1.2\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
