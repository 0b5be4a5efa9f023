"""Asking Ray's dashboard: what is sent, and what is said when that fails."""

from __future__ import annotations

import time

import pytest

from lazyimport.deploy.dashboard import Dashboard
from lazyimport.deploy.errors import DeployError
from tests.fakes.dashboard import Dashboard as Ray

SERVE = "/api/serve/applications/"


def test_a_host_and_port_are_an_address() -> None:
    assert "http://127.0.0.1:8265" == Dashboard("127.0.0.1:8265/").address


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "file:///etc/passwd"])
def test_what_is_no_address_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(DeployError, match=r"is no address of Ray's dashboard") as info:
        Dashboard(address)
    assert not info.value.retryable


def test_the_token_goes_with_every_question() -> None:
    with Ray() as ray:
        Dashboard(ray.address, "secret").ask("PUT", SERVE, {})
        Dashboard(ray.address).ask("PUT", SERVE, {})

    assert ["Bearer secret", None] == ray.tokens


def test_an_empty_answer_is_none() -> None:
    with Ray() as ray:
        assert Dashboard(ray.address).ask("PUT", SERVE, {"a": 1}) is None
    assert [{"a": 1}] == ray.applied


def test_nobody_there_can_be_asked_again_by_hand() -> None:
    with pytest.raises(DeployError, match=r"cannot reach .* 8265, not that of") as info:
        Dashboard("127.0.0.1:9").ask("GET", SERVE)
    assert info.value.retryable


def test_a_refusal_is_no_reason_to_try_again() -> None:
    with (
        Ray() as ray,
        pytest.raises(DeployError, match=r"refuses .404 no such") as info,
    ):
        Dashboard(ray.address).ask("GET", "/else", until=time.monotonic() + 60)
    assert not info.value.retryable
    assert ["/else"] == ray.asked


def test_one_that_is_busy_is_asked_until_the_time_is_over() -> None:
    work = {"entrypoint": "true"}
    with Ray() as ray:
        dashboard = Dashboard(ray.address)
        with pytest.raises(
            DeployError, match=r"refuses .500 No available agent"
        ) as info:
            dashboard.ask("POST", "/api/jobs/", work)
        assert info.value.retryable
        assert 1 == ray.submitted

        answer = dashboard.ask("POST", "/api/jobs/", work, time.monotonic() + 60)
    assert {"submission_id": "job"} == answer
    assert 3 == ray.submitted


def test_what_json_does_not_have_is_not_sent() -> None:
    with pytest.raises(DeployError, match=r"set.* put it in quotes") as info:
        Dashboard("127.0.0.1:9").ask("PUT", SERVE, {1, 2})
    assert not info.value.retryable
