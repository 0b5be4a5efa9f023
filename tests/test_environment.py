"""The environment: variables that somebody mistyped are told, and no others."""

from __future__ import annotations

from itertools import permutations

import pytest

from lazyimport.environment import FURTHER, is_slip, mistyped, warn_of_mistyped
from lazyimport.settings import ENVIRONMENT

SETTINGS = ENVIRONMENT.values()
KNOWN = {*SETTINGS, *FURTHER}
SLIPS = {
    "LAZYIMPORT_HAHS": "LAZYIMPORT_HASH",
    "LAZYIMPORT_Hash": "LAZYIMPORT_HASH",
    "LAZYIMPORT_STROE": "LAZYIMPORT_STORE",
    "LAZYIMPORT_CHANEL": "LAZYIMPORT_CHANNEL",
    "LAZYIMPORT_ARTEFACT": "LAZYIMPORT_ARTIFACT",
    "LAZYIMPORT_CACHEDIR": "LAZYIMPORT_CACHE_DIR",
    "LAZYIMPORT_CACHE_LIMITS": "LAZYIMPORT_CACHE_LIMIT",
    "LAZYIMPORT_TRUSTED_KEY": "LAZYIMPORT_TRUSTED_KEYS",
    "LAZYIMPORT_SIGN_KEY": "LAZYIMPORT_SIGNING_KEY",
    "LAZYIMPORT_ARTIFACT_SHA": "LAZYIMPORT_ARTIFACT_SHA256",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_with_what_is_meant(slip: str) -> None:
    assert [(slip, SLIPS[slip])] == [*mistyped(["HOME", slip, *KNOWN], SETTINGS)]


def test_no_two_variables_are_so_alike() -> None:
    """So a variable of a newer lazyimport is none either: it is named like these."""
    assert [] == [pair for pair in permutations(KNOWN, 2) if is_slip(*pair)]


def test_variables_of_others_are_left_alone() -> None:
    """Kubernetes sets these for services whose names begin as ours."""
    ends = "_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_PORT_80_TCP_ADDR"
    services = [name + end for name in KNOWN for end in ends]
    own = ["LAZYIMPORT_TEST_FULL", "LAZYIMPORT_TEST_FUZZ_SEED", "LAZYIMPORT_BUCKET"]

    assert [] == [*mistyped([*services, *own, "LAZYIMPORT_", "LAZYIMPORT"], SETTINGS)]


def test_it_is_told_once_unless_it_is_empty() -> None:
    told: list[str] = []
    environ = {"LAZYIMPORT_TIMEOUTT": "3", "LAZYIMPORT_STROE": ""}
    for _ in range(2):
        warn_of_mistyped(environ, SETTINGS, told.append)

    assert told == [
        "LAZYIMPORT_TIMEOUTT is set and does nothing; did you mean LAZYIMPORT_TIMEOUT?"
    ]
