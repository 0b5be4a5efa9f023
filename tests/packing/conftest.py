"""Pythons to compile for."""

from __future__ import annotations

import sys

import pytest

from lazyimport.errors import PackError
from lazyimport.packing.interpreters import Interpreter, find_interpreters
from tests.support.scale import FULL

ALL = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
HERE = "{}.{}".format(*sys.version_info)
#: The running one and the one after it: the environments together have all of them.
VERSIONS = ALL if FULL else (HERE, (*ALL, *ALL)[ALL.index(HERE) + 1])


@pytest.fixture(params=VERSIONS, scope="session")
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Return each in turn; skips where it is not on this machine."""
    try:
        return find_interpreters([request.param])[0]
    except PackError as error:
        pytest.skip(str(error))
