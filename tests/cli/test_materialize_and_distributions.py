"""``materialize``, and dependencies that travel: --with, --wheel, --requirements."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from lazyimport.cache.marks import BOOT, SYNCHRONIZED, mark_path
from lazyimport.packing import PackOptions, distributions
from lazyimport.packing.interpreters import Interpreter, find_interpreters
from lazyimport.reporting import SILENT, Reporter
from tests.support.compare_importers import from_archive, pack_tree, write_tree


def lazyimport(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lazyimport", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_materialize_where_file_points(tmp_path: Path, cache: Path) -> None:
    files = {
        "pkg/__init__.py": "x = 1\n",
        "pkg/d/data.txt": "d",
        "top.py": "",
        "n/m.py": "",
    }
    packed = pack_tree(write_tree(files, tmp_path / "tree"), cache)

    done = lazyimport("materialize", packed[:12], "--cache-dir", cache)
    folder = Path(done.stdout.strip())

    assert {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    } == files
    ran = from_archive(packed, cache, "import pkg; print(open(pkg.__file__).read())")
    assert ran.stdout == "x = 1\n\n"
    # No container with this in a layer of its image proves it again.
    assert Path(mark_path(str(folder), BOOT)).read_bytes() == SYNCHRONIZED


def test_with_takes_an_installed_distribution_along(
    tmp_path: Path, cache: Path
) -> None:
    tree = write_tree({"app.py": ""}, tmp_path / "tree")

    done = lazyimport("pack", tree, "--with", "pluggy", "--cache-dir", cache)
    ran = from_archive(
        done.stdout.strip(),
        cache,
        "import app, pluggy, importlib.metadata as m\n"
        "print(pluggy.__file__, m.version('pluggy'), len(m.files('pluggy')) > 5)",
    )

    version = importlib.metadata.version("pluggy")
    assert ran.stdout == f"ROOT/pluggy/__init__.py {version} True\n", ran.stderr


def test_what_a_record_names_outside_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts, as ../../../bin/x, and whatever else somebody names there."""
    write_tree(
        {
            "site/odd/__init__.py": "",
            "site/odd-1.dist-info/METADATA": "Name: odd\nVersion: 1\n",
            "site/odd-1.dist-info/RECORD": "odd/__init__.py,,\nodd/../../x.py,,\n",
            "x.py": "",
            "made/at/a": "",
        },
        tmp_path,
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    options = PackOptions(installed=("odd",))
    distributions.stage(options, [], str(tmp_path / "made/at"), SILENT)

    assert (tmp_path / "made/at/odd/__init__.py").exists()
    assert not (tmp_path / "made/x.py").exists()


@pytest.mark.parametrize("name", ["no-such-thing", "x" * 300])
def test_with_something_that_is_not_installed(
    tmp_path: Path, cache: Path, name: str
) -> None:
    tree = write_tree({"app.py": ""}, tmp_path / "tree")

    done = lazyimport("pack", tree, "--with", name, "--cache-dir", cache)

    assert done.returncode == 1
    assert f"{name!r} is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_an_editable_install_names_the_folder_to_pack(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_tree({"app.py": ""}, tmp_path / "tree")
    project = {"pyproject.toml": "", "src/tiny/__init__.py": ""}
    url = write_tree(project, tmp_path / "a project").as_uri()
    direct = json.dumps({"url": url, "dir_info": {"editable": True}})
    info = {"METADATA": "Name: tiny\nVersion: 1\n", "direct_url.json": direct}
    files = {f"tiny-1.dist-info/{name}": text for name, text in info.items()}
    monkeypatch.setenv("PYTHONPATH", str(write_tree(files, tmp_path / "site")))

    done = lazyimport("pack", tree, "--with", "tiny", "--cache-dir", cache)

    assert f"give its folder as a root: {tmp_path}/a project/src\n" in done.stderr


def make_wheel(folder: Path, version: str = "1.0", tags: str = "py3-none-any") -> Path:
    path = folder / f"tiny-{version}-{tags}.whl"
    info = f"tiny-{version}.dist-info"
    python, abi, platforms = tags.split("-")
    lines = "".join(f"Tag: {python}-{abi}-{one}\n" for one in platforms.split("."))
    files = {
        "tiny/__init__.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{lines}",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as file:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            file.writestr(name, text)
    return path


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path)


@pytest.mark.parametrize("option", ["--wheel", "--requirements"])
def test_wheel_and_requirements(
    tmp_path: Path, cache: Path, wheel: Path, option: str
) -> None:
    """Installed by pip or uv, whichever this Python has."""
    tree = write_tree({"app.py": ""}, tmp_path / "tree")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{wheel}\n")
    file = wheel if option == "--wheel" else requirements

    done = lazyimport("pack", tree, option, file, "--cache-dir", cache)
    if "needs pip" in done.stderr:
        pytest.skip("neither pip nor uv here")
    ran = from_archive(
        done.stdout.strip(),
        cache,
        "import tiny, importlib.metadata as m; print(tiny.version, m.version('tiny'))",
    )

    assert ran.stdout == "1.0 1.0\n", done.stderr + ran.stderr


def test_requirement_that_cannot_be_had(tmp_path: Path, cache: Path) -> None:
    tree = write_tree({"app.py": ""}, tmp_path / "tree")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("./no-such-file-1.0-py3-none-any.whl\n")

    done = lazyimport(
        "pack", tree, "--requirements", requirements, "--cache-dir", cache
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert "no-such-file" in done.stderr or "needs pip" in done.stderr


@pytest.fixture(name="interpreter", params=["pip", "uv"])
def _interpreter(request: pytest.FixtureRequest, tmp_path: Path) -> Interpreter:
    """This Python: with its pip, or from an environment where only uv can install."""
    (here,) = find_interpreters([])
    if request.param == "pip":
        pytest.importorskip("pip")
        return here
    if shutil.which("uv") is None:
        pytest.skip("uv is not on PATH")
    venv.create(tmp_path / "environment", symlinks=True, with_pip=False)
    return here._replace(executable=str(tmp_path / "environment" / "bin" / "python"))


@pytest.mark.parametrize(
    ("tag", "platform"),
    [
        ("manylinux_2_17_aarch64", "manylinux_2_28_aarch64"),
        ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
        ("manylinux_2_5_x86_64.manylinux1_x86_64", "manylinux2014_x86_64"),
        ("musllinux_1_1_x86_64", "musllinux_1_2_x86_64"),
    ],
)
def test_wheel_of_an_older_platform_serves_a_newer(
    tmp_path: Path,
    interpreter: Interpreter,
    tag: str,
    platform: str,
) -> None:
    """Resolved for the workers' platform, not for this one; no newer glibc is taken."""
    links = tmp_path / "links"
    links.mkdir()
    for version, it in (("1.0", tag), ("2.0", "manylinux_2_99_x86_64")):
        make_wheel(links, version, f"py3-none-{it}")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {links}\ntiny\n")
    folder = tmp_path / "staged"

    options = PackOptions(requirements=(str(requirements),), platform=platform)
    distributions.stage(options, [interpreter], str(folder), SILENT)

    assert (folder / "tiny" / "__init__.py").read_text() == "version = '1.0'\n"


def test_on_another_system_dependencies_are_those_of_linux(
    tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers run Linux, whatever the author's machine is."""
    wheel = make_wheel(tmp_path, "1.0", "py3-none-manylinux_2_28_x86_64")
    monkeypatch.setattr(sys, "platform", "darwin")
    warned: list[str] = []
    reporter = Reporter()
    monkeypatch.setattr(reporter, "warn", warned.append)
    folder = tmp_path / "staged"

    options = PackOptions(wheels=(str(wheel),))
    distributions.stage(options, [interpreter], str(folder), reporter)

    assert (folder / "tiny" / "__init__.py").exists()
    assert "resolved for manylinux_2_28_x86_64" in warned[0]
    distributions.stage(PackOptions(), [interpreter], str(folder), reporter)
    assert 1 == len(warned)
