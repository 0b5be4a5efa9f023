"""The room's own names: exported when asked for, all of them, and without Ray."""

from __future__ import annotations

import subprocess
import sys
from inspect import getdoc

import pytest

from lazyimport import deploy


@pytest.mark.parametrize("name", deploy.__all__)
def test_every_public_name_has_a_home_and_is_documented(name: str) -> None:
    found = getattr(deploy, name)

    assert found.__name__ == name
    assert found.__module__.startswith("lazyimport.deploy.")
    assert getdoc(found)


def test_no_other_name_is_there() -> None:
    assert {*deploy.__all__} <= {*dir(deploy)}
    with pytest.raises(AttributeError, match="no attribute 'undeploy'"):
        deploy.undeploy  # noqa: B018


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys, lazyimport.deploy as deploy\n"
        "print([m for m in sys.modules if m.startswith('lazyimport.deploy.')])\n"
        "[getattr(deploy, name) for name in deploy.__all__]\n"
        "print('ray' in sys.modules, 'lazyimport.ray' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ["[]", "False False"] == done.stdout.splitlines()
