"""What all tests of the project share."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.gcs import FakeGcs

#: distributions whose versions may explain a failure
OF_INTEREST = ("cachetools", "zstandard", "google-cloud-storage", "obstore", "ray")


def pytest_report_header() -> list[str]:
    """Print which lazyimport is tested, and with which versions of its dependencies."""
    spec = importlib.util.find_spec("lazyimport")
    origin = spec.origin if spec else None
    return [
        f"lazyimport: {_version('ray-lazyimport')} from {origin}",
        ", ".join(f"{name} {_version(name)}" for name in OF_INTEREST),
    ]


@pytest.fixture(scope="session", autouse=True)
def _nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run every test and its child processes in an empty folder.

    Python 3.10 puts the current folder of a child before site-packages, and Ray puts
    the folder of the driver there. Both would import from the checkout.
    """
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("nowhere"))
    yield
    os.chdir(before)


@pytest.fixture(name="fake")
def _fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    """A strict stand-in for Cloud Storage, which this process now uses."""
    from tests.fakes.gcs import FakeGcs  # needs the extra 'gcs'

    with FakeGcs() as fake:
        for name, value in fake.environ.items():
            monkeypatch.setenv(name, value)
        yield fake


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
