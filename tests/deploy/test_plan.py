"""A plan: what changes, worked out before, made true step by step."""

from __future__ import annotations

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy import DeployError, History, Manifest, Plan, Target
from lazyimport.reporting import Reporter
from tests.fakes.dashboard import Dashboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

A, B = "a1" * 32, "b2" * 32

TEXT = """\
applications:
  - name: shop
    runtime_env: {env_vars: {LAZYIMPORT_HASH: DIGITS}}
  - name: till
    runtime_env:
      env_vars: {LAZYIMPORT_STORE: gs://theirs, LAZYIMPORT_HASH: DIGITS}
"""


class Warned(Reporter):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / "serve.yaml"
    file.write_text(TEXT.replace("DIGITS", A))
    return file


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(str(tmp_path / "cache"))


def planned(file: Path, *names: str, store: str | None = None) -> Plan:
    return Plan(Manifest.read(str(file)), B, names or ("shop",), store=store)


def test_a_plan_changes_nothing(file: Path) -> None:
    plan = planned(file, "till", "shop")

    assert file.read_text() == TEXT.replace("DIGITS", A)
    assert [("till", A, B), ("shop", A, B)] == [
        (app.name, before, app.hash) for app, before in plan.steps
    ]
    assert f"lazyimport rollback {file} --app till --app shop" == plan.undo


def test_the_difference_is_as_diff_prints_it(file: Path) -> None:
    file.write_text(file.read_text().rstrip("\n"))
    lines = planned(file, "till").diff().splitlines()

    assert [f"--- {file}", f"+++ {file}"] == lines[:2]
    end = r"\ No newline at end of file"
    assert [end] * 2 == [line for line in lines if line[:1] == "\\"]
    assert Plan(Manifest.read(str(file)), A, ["till"]).diff() == ""


def test_a_store_that_is_not_that_of_the_workers_is_warned_of(file: Path) -> None:
    assert [] == planned(file, "till").warnings
    assert [] == planned(file, "till", store="gs://theirs/").warnings
    (warning,) = planned(file, "shop", "till", store="gs://ours").warnings
    assert "the workers of till look in gs://theirs" in warning


def test_a_mistyped_variable_of_the_workers_is_warned_of(file: Path) -> None:
    file.write_text(file.read_text().replace("LAZYIMPORT_STORE", "LAZYIMPORT_STROE"))

    assert [
        "till sets LAZYIMPORT_STROE, which does nothing; did you mean LAZYIMPORT_STORE?"
    ] == planned(file, "shop", "till").warnings


def test_a_placeholder_is_no_hash_that_was_before(file: Path, history: History) -> None:
    file.write_text(TEXT.replace("DIGITS", "CHANGE-ME"))
    plan = planned(file)

    plan.write(history)
    (known,) = history.deployments("shop")
    assert (None, B) == (known.before, known.hash)
    assert file.read_text() == TEXT.replace("DIGITS", B, 1).replace(
        "DIGITS", "CHANGE-ME"
    )


def test_writing_records_what_was_before(file: Path, history: History) -> None:
    plan = planned(file)

    assert plan is plan.write(history)
    (known,) = history.deployments("shop")
    assert (A, B, str(file)) == (known.before, known.hash, known.manifest)
    assert [] == history.deployments("till")


def test_what_somebody_changed_meanwhile_stays(file: Path, history: History) -> None:
    plan, warned = planned(file), Warned()
    changed = "# by hand\n" + file.read_text()
    file.write_text(changed)
    after = plan.write(history, warned)

    assert changed.replace(A, B, 1) == after.after.text == file.read_text()
    assert ["was changed by somebody meanwhile"] == [
        warning[len(f"{file} ") :].partition(";")[0] for warning in warned.warnings
    ]


def test_applying_gives_the_config_and_records_it(file: Path, history: History) -> None:
    with Dashboard() as dashboard:
        plan = planned(file).write(history)
        done = plan.apply(Target(dashboard.address), history)

    assert f"applied to {dashboard.address}" == done
    ((shop, till),) = [config["applications"] for config in dashboard.applied]
    assert B == shop["runtime_env"]["env_vars"]["LAZYIMPORT_HASH"]
    assert A == till["runtime_env"]["env_vars"]["LAZYIMPORT_HASH"]
    (known,) = history.deployments("shop")
    assert (A, B, "applied") == (known.before, known.hash, known.outcome)
    assert dashboard.address == known.cluster


def test_what_cannot_be_applied_says_how_to_go_on_and_back(
    file: Path, history: History
) -> None:
    plan = planned(file).write(history)

    with pytest.raises(DeployError, match=f"{file} names {B} already: .*rollback"):
        plan.apply(Target("127.0.0.1:9"), history)


def test_prefetching_takes_the_store_of_the_workers(file: Path) -> None:
    with Dashboard() as dashboard:
        dashboard.submitted = 2
        lines = list(
            planned(file, "shop", "till").prefetch(Target(dashboard.address), 9)
        )

    assert 2 == len(lines)
    assert [f"job {B}", f"job {B} gs://theirs"] == sorted(
        command[len("python -m lazyimport.ray.prefetch_") :]
        for command in dashboard.commands
    )


def test_a_rollback_that_cannot_be_applied_is_not_repeated_by_another_one(
    file: Path, history: History
) -> None:
    """Which would go back further."""
    plan = Plan(Manifest.read(str(file)), B, ["shop"], why="it worked").write(history)
    command = f"lazyimport rollback {file} --app shop --to {B} --apply"

    with pytest.raises(DeployError, match=f"to try again, {command}; to take"):
        plan.apply(Target("127.0.0.1:9"), history)
