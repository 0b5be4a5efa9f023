"""What was deployed, and what came of it: in a store, and on this machine."""

from __future__ import annotations

import json

import pytest

from lazyimport.errors import StoreDenied, StoreUnavailable
from lazyimport.registry.history import Deployment, History
from lazyimport.registry.layout import deployments_of
from lazyimport.reporting import Reporter
from lazyimport.stores import open_store
from lazyimport.stores.memory import MemoryStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32


class Warned(Reporter):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Machine:
    """Histories of machines that share a store, which warn into ``warned``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_store(f"file://{folder}/store")
        self.warned = Warned()

    def __call__(self, name: str = "here", **options: Any) -> History:
        options = {"store": self.store, "by": name, "reporter": self.warned, **options}
        return History(str(self.folder / name), **options)


@pytest.fixture(name="machine")
def _machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def deploy(history: History, hash: str, *outcomes: str, app: str = "shop") -> None:
    begun = history.begin(app, None, hash, manifest="f.yaml")
    for outcome in outcomes or ("written",):
        reason = "why" * (outcome == "failed")
        history.add(begun._replace(outcome=outcome, reason=reason))


def ended(history: History, app: str = "shop") -> list[tuple[str, str, str]]:
    return [(d.hash, d.outcome, d.by) for d in history.deployments(app)]


def test_every_machine_knows_of_it(machine: Machine) -> None:
    deploy(machine("here"), A, "written", "applied", "running")
    deploy(machine("there"), B, "written", "applied", "failed")

    for name in ("here", "there", "elsewhere"):
        (second, _) = machine(name).deployments("shop")
        assert [(B, "failed", "there"), (A, "running", "here")] == ended(machine(name))
        assert ("f.yaml", "why") == (second.manifest, second.reason)
    assert [] == machine.warned.warnings


def test_only_this_machine_knows_where_no_store_is(machine: Machine) -> None:
    deploy(machine("here", store=None), A)

    assert [(A, "written", "here")] == ended(machine("here"))
    assert [] == ended(machine("there"))
    assert [] == machine.warned.warnings


def test_nothing_is_written_twice(machine: Machine) -> None:
    """Two people at once, and one who asks again, lose nothing."""
    one, two = machine("one"), machine("two")
    deployments = [each.begin("shop", None, A) for each in (one, two)]
    for history, deployment in zip((one, two), deployments, strict=True):
        history.add(deployment)
    one.add(deployments[0])

    assert ["one", "two"] == sorted(d.by for d in one.deployments("shop"))


def test_who_did_it_is_told_on_one_line(machine: Machine) -> None:
    history = machine("bo\nlazyimport: all is well\x1b[2J")
    deploy(history, A)

    (known,) = history.deployments("shop")
    assert known.told.isprintable()


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "ä b%", "x" * 500, ""])
def test_an_application_may_have_any_name(machine: Machine, name: str) -> None:
    deploy(machine(), A, app=name)
    deploy(machine(), B, app="other")

    assert [A] == [d.hash for d in machine("there").deployments(name)]


def test_what_is_no_deployment_is_passed_over(machine: Machine, tmp_path: Path) -> None:
    deploy(machine("here"), A)
    (file,) = tmp_path.glob("store/deployments/shop/*/written.json")
    facts = json.loads(file.read_text())
    for number, text in enumerate(
        (
            "{",
            "[]",
            json.dumps({**facts, "app": "till"}),
            json.dumps({**facts, "app": 5}),
            json.dumps({**facts, "hash": "../x"}),
            json.dumps({**facts, "signatures": 7}),
            json.dumps(facts),  # in the place of another one
        )
    ):
        other = file.parent.with_name(f"2026-{number}")
        other.mkdir()
        (other / "written.json").write_text(text)

    other = file.parent.with_name("['x']")
    other.mkdir()
    (other / "written.json").write_text(json.dumps({**facts, "id": ["x"]}))

    assert [(A, "written", "here")] == ended(machine("there"))


class Failing(MemoryStore):
    """A store that fails in one way."""

    error: Exception

    def put(self, *_: object) -> bool:
        raise self.error

    def list(self, *_: object) -> Iterator[Any]:
        raise self.error


@pytest.mark.parametrize(("kind", "left"), [(StoreDenied, True), (StoreUnavailable, 0)])
def test_a_store_that_fails_leaves_the_record_of_this_machine(
    machine: Machine, kind: type[Exception], left: bool
) -> None:
    """And is asked once: it would take as long again."""
    store = Failing("failing")
    store.error = kind("no")
    history = machine(store=store)
    deploy(history, A, "written", "applied")

    assert [(A, "applied", "here")] == ended(history)
    (warning,) = machine.warned.warnings
    assert "it does not know of this deployment" in warning
    assert left == (history.store is not None)
    assert [(A, "applied", "here")] == ended(machine(store=store))
    assert "what it knows does not count" in machine.warned.warnings[1]


def test_a_store_that_can_only_be_read_is_told(machine: Machine) -> None:
    deploy(machine(store=open_store("https://example.org/x")), A)

    assert "can only be read" in machine.warned.warnings[0]
    assert [(A, "written", "here")] == ended(machine(store=None))


class TestSigned:
    """Where keys are trusted, only what one of them signed counts in a store."""

    @pytest.fixture(autouse=True)
    def _keys(self, tmp_path: Path) -> None:
        pytest.importorskip("cryptography")
        from lazyimport.registry.signer import make_key
        from lazyimport.registry.signing import Trusted

        self.ours, self.theirs = (make_key(f"{tmp_path}/{name}") for name in "ot")
        self.trusted = Trusted.parse(self.ours.public)

    def known(self, machine: Machine) -> list[tuple[str, bool]]:
        history = machine("elsewhere", trusted=self.trusted)
        return [(d.hash, d.trusted) for d in history.deployments("shop")]

    def test_by_a_trusted_key(self, machine: Machine) -> None:
        deploy(machine("here", signer=self.ours), A)
        deploy(machine("here"), B)
        deploy(machine("here", signer=self.theirs), C)

        assert [(C, False), (B, False), (A, True)] == self.known(machine)

    def test_what_was_changed_after_it_was_signed(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        deploy(machine("here", signer=self.ours), A)
        (file,) = tmp_path.glob("store/deployments/shop/*/written.json")
        file.write_text(file.read_text().replace(A, B))

        assert [(B, False)] == self.known(machine)

    def test_a_later_outcome_that_nobody_signed(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        """The signed one counts on."""
        deploy(machine("here", signer=self.ours), A, "applied")
        (file,) = tmp_path.glob("store/deployments/shop/*/applied.json")
        forged = file.read_text().replace('"applied"', '"running"')
        file.with_name("running.json").write_text(forged)

        (known,) = machine("there", trusted=self.trusted).deployments("shop")
        assert ("applied", True) == (known.outcome, known.trusted)
        (known,) = machine("there").deployments("shop")
        assert "running" == known.outcome

    def test_of_another_application(self, machine: Machine, tmp_path: Path) -> None:
        deploy(machine("here", signer=self.ours), A, app="till")
        (tmp_path / "store" / deployments_of("till")).rename(
            tmp_path / "store" / deployments_of("shop")
        )

        assert [] == self.known(machine)

    def test_what_this_machine_remembers_counts(self, machine: Machine) -> None:
        deploy(machine("here"), A)

        (known,) = machine("here", trusted=self.trusted).deployments("shop")
        assert known.trusted


def test_when_it_began_is_said_for_people() -> None:
    began = "2026-11-22T200731.5Z-00"
    deployment = Deployment(began, "shop", A, None, "f", "", False, "ada@x")

    assert "2026-11-22T20:07:31Z by ada@x" == deployment.told
