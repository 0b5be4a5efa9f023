"""What `pip install ray-lazyimport` puts on a machine."""

from __future__ import annotations

import importlib.metadata
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lazyimport

DISTRIBUTION = importlib.metadata.distribution("ray-lazyimport")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")


def installed(name: str) -> str:
    """Return the text of the file *name*, relative to site-packages."""
    text = DISTRIBUTION.read_text(os.path.join(os.pardir, name))
    assert text is not None

    return text


def child(*lines: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run *lines* in a fresh interpreter that reads the start-up files."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_is_the_one_of_the_metadata() -> None:
    """The version is written down once, in pyproject.toml."""
    assert DISTRIBUTION.version == lazyimport.__version__


def test_wheel_installs_the_package_and_its_start_up_file_and_nothing_else() -> None:
    """No tests, benchmarks or other files end up in the site-packages of a user."""
    files = DISTRIBUTION.files
    assert files is not None

    tops = {file.parts[0] for file in files if file.parts[0] != ".."}
    info = f"ray_lazyimport-{DISTRIBUTION.version}.dist-info"

    assert {"lazyimport", "lazyimport.pth", info} == tops


def test_wheel_is_typed() -> None:
    """Type checkers read the annotations of the package (PEP 561)."""
    files = DISTRIBUTION.files
    assert files is not None

    assert "lazyimport/py.typed" in {file.as_posix() for file in files}


def test_extras_are_those_that_messages_name() -> None:
    """pip only warns of an unknown extra, so a lost one would go unnoticed."""
    extras = DISTRIBUTION.metadata.get_all("Provides-Extra")

    assert ["all", "deploy", "dev", "gcs", "objects", "otel", "ray", "sign"] == sorted(
        extras or []
    )


@pytest.mark.parametrize("version", PYTHONS)
def test_classifiers_name_each_python_of_the_matrix(version: str) -> None:
    """The page of the registry names the Pythons that tox tests."""
    classifiers = DISTRIBUTION.metadata.get_all("Classifier") or []

    assert f"Programming Language :: Python :: {version}" in classifiers


def test_command_is_the_function_of_the_command_line() -> None:
    """`lazyimport` on PATH is `lazyimport.cli:main`."""
    (script,) = DISTRIBUTION.entry_points.select(group="console_scripts")

    assert script.name == "lazyimport"
    assert callable(script.load())


def test_pth_is_one_import_line() -> None:
    """site.py executes a line of a .pth only if it starts with `import`."""
    (line,) = installed("lazyimport.pth").splitlines()

    assert line.startswith("import ")
    compile(line, "lazyimport.pth", "exec")


def test_pth_and_start_name_the_same_callable() -> None:
    """Pythons up to 3.17 read the .pth, later ones only the .start (PEP 829)."""
    (entry,) = installed("lazyimport/lazyimport.start").splitlines()
    module, name = entry.split(":")
    (line,) = installed("lazyimport.pth").splitlines()

    assert line.endswith(f'__import__("{module}").activation.{name}()')
    assert callable(pkgutil.resolve_name(entry))


def test_start_up_without_a_hash_loads_no_module_of_lazyimport() -> None:
    """A process that does not use lazyimport pays only for reading a variable."""
    result = child(
        "import sys",
        "print([name for name in sys.modules if name.startswith('lazyimport')])",
    )

    assert "[]\n" == result.stdout
    assert "" == result.stderr


def test_start_up_where_a_store_is_named_loads_nothing() -> None:
    """As on a laptop, and in an image that says where the node cache is."""
    result = child(
        "import sys",
        "print([name for name in sys.modules if name.startswith('lazyimport')])",
        LAZYIMPORT_CACHE_DIR="/cache",
        LAZYIMPORT_STORE="gs://bucket/code",
        LAZYIMPORT_SIGNING_KEY="/key",
    )

    assert ("[]\n", "") == (result.stdout, result.stderr)


def test_start_up_with_a_bad_hash_does_not_stop_the_interpreter() -> None:
    """The program of the user runs, whatever happens in activation."""
    result = child("print('ran')", LAZYIMPORT_HASH="not a hash")

    assert "ran\n" == result.stdout
    assert 0 == result.returncode


def test_another_project_that_was_installed_over_it_is_named(tmp_path: Path) -> None:
    """The distribution 'lazyimport' writes a package of the same name."""
    shutil.copytree(Path(lazyimport.__file__).parent, tmp_path / "lazyimport")
    (tmp_path / "lazyimport" / "__init__.py").write_text("from . import errors\n")
    (tmp_path / "lazyimport" / "errors.py").write_text("class Error(Exception): pass\n")
    here = f"import os, sys; sys.path.insert(0, {str(tmp_path)!r})"
    set_hash = f"os.environ['LAZYIMPORT_HASH'] = {'0' * 64!r}"

    command = child(here, "from lazyimport.cli import main; main()")
    start = child(here, set_hash, "from lazyimport.activation import start; start()")

    for text in (command.stderr, start.stderr):
        assert "pip uninstall -y lazyimport ray-lazyimport" in text
        assert "Traceback" not in text
    assert (1, 0) == (command.returncode, start.returncode)
