"""`lazyimport deploy` and `rollback` on files; tests/ray has what runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from lazyimport.delivery.compatibility import this_python
from lazyimport.deploy import History
from tests.fakes.dashboard import Dashboard
from tests.support.disks import LIMITED

pytest.importorskip("ruamel.yaml")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.cli.conftest import CommandLine

A, B = "a1" * 32, "b2" * 32

SERVE = """\
applications:
  - name: shop   # the only one
    import_path: shop.serve:app
    runtime_env:
      env_vars: {{LAZYIMPORT_HASH: {}}}
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / "serve.yaml"
    file.write_text(SERVE.format(A))
    return file


@pytest.fixture(name="service")
def _service(tmp_path: Path) -> Path:
    """The same in a RayService."""
    text = "".join(f"    {line}\n" for line in SERVE.format(A).splitlines())
    file = tmp_path / "service.yaml"
    file.write_text(
        f"kind: RayService\nmetadata: {{name: x}}\nspec:\n  serveConfigV2: |\n{text}"
    )
    return file


class TestDeploy:
    """`lazyimport deploy`."""

    def test_sets_the_hash(self, cli: CommandLine, file: Path) -> None:
        file.chmod(0o640)
        done = cli.run("deploy", file, "--hash", B)

        assert SERVE.format(B) == file.read_text()
        assert 0o640 == file.stat().st_mode & 0o777
        assert f"{file}:2: shop: {A} -> {B}" in done.stderr

    def test_a_link_to_a_manifest_stays_a_link(
        self, cli: CommandLine, file: Path
    ) -> None:
        link = file.with_name("link.yaml")
        link.symlink_to(file)
        cli.run("deploy", link, "--hash", B)

        assert link.is_symlink()
        assert SERVE.format(B) == file.read_text()

    def test_diff_and_dry_run(self, cli: CommandLine, file: Path) -> None:
        done = cli.run("deploy", file, "--hash", B, "--diff", "--dry-run")

        changed = [line for line in done.stdout.splitlines() if line[0] in "+-"]
        assert SERVE.format(A) == file.read_text()
        assert [
            f"--- {file}",
            f"+++ {file}",
            f"-      env_vars: {{LAZYIMPORT_HASH: {A}}}",
            f"+      env_vars: {{LAZYIMPORT_HASH: {B}}}",
        ] == changed
        assert "nothing was written" in done.stderr
        assert "warning: cannot show what changes in the code" in done.stderr

    def test_diff_shows_what_changes_in_the_code(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        """Of archives that only the store has: a delta, and its base."""
        store = ("--store", cli.url)
        old = cli.push(project)
        cli.run("deploy", file, "--hash", old, *store)
        (project / "shop/prices.py").write_text("def price(count):\n    return 9\n")
        new = cli.push(project)
        shutil.rmtree(cli.cache)
        done = cli.run("deploy", file, "--hash", new, *store, "--diff", "--dry-run")

        assert re.search(r"(?m)^changed .* shop/prices.py +shop.prices$", done.stdout)
        assert f"{old} -> {new}: 1 changed" in done.stderr
        assert not (cli.cache / "archives").exists()

    def test_pushes_and_deploys_in_one_go(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        done = cli.run("deploy", file, "--push", project, "--store", cli.url)
        (stored,) = os.listdir(cli.store / "archives")

        assert SERVE.format(stored) == file.read_text()
        assert "packed 8 modules" in done.stderr

    def test_a_dry_run_changes_nothing(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        """Whatever it would push, apply, prefetch or sign; and it says the same."""

        def written() -> dict[str, bytes]:
            folders = (cli.store, file.parent / "project", cli.cache / "deployments")
            paths = [path for folder in folders for path in folder.rglob("*")]
            return {str(p): p.read_bytes() for p in [file, *paths] if p.is_file()}

        store = ("--store", cli.url)
        one = cli.run("push", project, *store, "--channel", "prod").stdout.strip()
        cli.run("deploy", file, "--hash", one, *store)
        cli.run("deploy", file, "--push", project / "shop" / "templates", *store)
        new = cli.folder / "new"
        new.mkdir()
        (new / "till.py").write_text("x = 1\n")
        packed = cli.run("pack", new, "-o", cli.folder / "new.lza").stdout.strip()
        before, known = written(), cli.cache / "stores"
        known.unlink(missing_ok=True)
        with Dashboard() as dashboard:
            more = ("--apply", "--prefetch", "--wait", "--address", dashboard.address)
            for words in (
                ("deploy", file, "--push", new, "--check", "till"),
                ("deploy", file, "--push", cli.folder / "new.lza"),
                ("deploy", file, "--hash", one[:9]),
                ("deploy", file, "--channel", "prod"),
                ("rollback", file),
            ):
                done = cli.run(*words, *store, "--dry-run", *more)
                assert (packed if "--push" in words else one) in done.stderr
                assert f"nothing was written to {file}: --dry-run" in done.stderr
                assert before == written()
            assert [] == dashboard.applied == dashboard.commands
            assert not dashboard.submitted
        assert not known.exists()
        assert "no store is named" in cli.fail(
            "deploy", file, "--push", new, "-n", code=2
        )

    def test_a_prefix_will_do(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        whole = cli.push(project)
        cli.run("deploy", file, "--hash", whole[:8], "--store", cli.url)

        assert SERVE.format(whole) == file.read_text()

    def test_a_channel_gives_its_hash_of_now(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        """Workers are pinned by the hash: the manifest never names the channel."""
        store = ("--store", cli.url)
        hash = cli.run("push", project, *store, "--channel", "prod").stdout.strip()
        done = cli.run("deploy", file, "--channel", "prod", *store)

        assert SERVE.format(hash) == file.read_text()
        assert f"channel prod points to {hash}" in done.stderr

    def test_refuses_a_hash_that_the_store_does_not_have(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        """No worker could run it; the file stays as it is."""
        cli.push(project)
        packed = cli.run("pack", project, "--exclude", "deep.py").stdout.strip()
        unknown = cli.fail("deploy", file, "--hash", B, "--store", cli.url)
        unpushed = cli.fail("deploy", file, "--hash", packed, "--store", cli.url)

        assert f"archive {B} is not in {cli.url}" in unknown
        assert "the node cache here has it, and sends it with" in unpushed
        assert SERVE.format(A) == file.read_text()

        send = re.search(r"with: lazyimport (verify [^;]+);", unpushed)
        assert send
        cli.run(*send[1].split())
        cli.run("deploy", file, "--hash", packed, "--store", cli.url)

    def test_a_manifest_that_is_not_there(
        self, cli: CommandLine, tmp_path: Path
    ) -> None:
        """Is said at once, whatever else is missing."""
        error = cli.fail("deploy", "sreve.yaml", cwd=tmp_path)
        assert "sreve.yaml: No such file or directory" in error

    def test_what_contradicts_it_leaves_the_file_alone(
        self, cli: CommandLine, file: Path
    ) -> None:
        text = file.read_text() + "      py_executable: env LAZYIMPORT_HASH=x python\n"
        file.write_text(text)
        error = cli.fail("deploy", file, "--hash", B)

        assert f"{file}:6: py_executable sets LAZYIMPORT_HASH" in error
        assert text == file.read_text()

    def test_needs_one_archive(self, cli: CommandLine, file: Path) -> None:
        assert "which archive?" in cli.fail("deploy", file, code=2)
        assert "which archive?" in cli.fail(
            "deploy", file, "--hash", B, "--push", ".", code=2
        )

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            (["--timeout", "9"], "--timeout does nothing without --wait or --prefetch"),
            (["--address", "x:1"], "--address does nothing without --apply, --wait"),
            (["--check-python", "x"], "--check-python does nothing without --check"),
            (["--exclude", "x"], "--exclude does nothing without --push"),
            (["--jobs", "2"], "--jobs does nothing without --push"),
            (["--sign", "KEY"], "--sign does nothing without a store"),
        ],
    )
    def test_options_that_do_nothing_are_refused(
        self, cli: CommandLine, file: Path, options: list[str], why: str
    ) -> None:
        if "--sign" in options:
            pytest.importorskip("cryptography")
            from lazyimport.registry.signer import make_key

            make_key(f"{cli.folder}/key")
            options = ["--sign", f"{cli.folder}/key"]

        assert why in cli.fail("deploy", file, "--hash", B, *options, code=2)
        assert SERVE.format(A) == file.read_text()

    def test_a_file_that_is_not_there(self, cli: CommandLine) -> None:
        assert "/none.yaml: No such file" in cli.fail(
            "deploy", cli.folder / "none.yaml", "--hash", B
        )


def test_values_of_a_chart(cli: CommandLine) -> None:
    """There and back, by the record and by git alone, and nothing else changes."""
    values = cli.folder / "values.yaml"
    text = "code: {{hash: {}}}  # of Helm\nreplicas: 2\n"
    values.write_text(text.format(A))
    key = (values, "--set-key", "code.hash", "--app", "shop")

    assert "with --set-key" in cli.fail("deploy", values, "--hash", B)
    done = cli.run("deploy", *key, "--hash", B)
    assert text.format(B) == values.read_text()
    assert f"{values}:1: shop: {A} -> {B}" in done.stderr
    refused = cli.fail("deploy", *key, "--hash", B, "--apply", code=2)
    assert "they apply it" in refused
    cli.run("rollback", *key)
    assert text.format(A) == values.read_text()
    (again, first) = json.loads(cli.run("history", "shop", "--json").stdout)
    assert [(True, A), (False, B)] == [(e["back"], e["hash"]) for e in (again, first)]


class TestRollback:
    """`lazyimport rollback`."""

    def test_to_what_this_machine_deployed_before(
        self, cli: CommandLine, file: Path
    ) -> None:
        cli.run("deploy", file, "--hash", B)
        cli.run("deploy", file, "--hash", "c3" * 32)
        cli.run("rollback", file)

        assert SERVE.format(B) == file.read_text()

    def test_to_what_git_has(self, cli: CommandLine, file: Path) -> None:
        """Somebody else deployed, or the CI did."""

        def git(*words: str) -> None:
            who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
            subprocess.run(
                ["git", *who, *words], cwd=file.parent, check=True, capture_output=True
            )

        git("init")
        for hash in (A, B):
            file.write_text(SERVE.format(hash))
            git("add", file.name)
            git("commit", "-m", "deploy")
        cli.run("rollback", file, "--dry-run")
        assert SERVE.format(B) == file.read_text()

        cli.run("rollback", file)
        assert SERVE.format(A) == file.read_text()

    def test_to_nothing_that_is_known(self, cli: CommandLine, file: Path) -> None:
        error = cli.fail("rollback", file)

        assert f"nobody knows a version of shop that worked before {A}" in error
        assert f"lazyimport rollback {file} --app shop --to HASH" in error

    def test_the_last_that_worked_from_any_machine(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        """The record is in the store; which commit it is, its push claims."""
        good, bad = cli.push(project), cli.push(project / "shop" / "templates")
        other: dict[str, Any] = {"LAZYIMPORT_CACHE_DIR": str(cli.folder / "other")}
        with Dashboard() as dashboard:
            for hash, code, status in ((good, 0, "RUNNING"), (bad, 1, "DEPLOY_FAILED")):
                dashboard.serve = {"applications": {"shop": served("shop", hash)}}
                dashboard.serve["applications"]["shop"]["status"] = status
                dashboard.actors = [actor("shop", hash)]
                more = ("--address", dashboard.address, "--apply", "--wait")
                deploy = ("deploy", file, "--hash", hash, "--store", cli.url, *more)
                cli.run(*deploy, code=code)
        done = cli.run("rollback", file, "--store", cli.url, **other)

        assert SERVE.format(good) == file.read_text()
        assert f"{good[:12]}: it is the last that worked: deployed 20" in done.stderr
        error = cli.fail("rollback", file, "--store", cli.url, **other)
        assert f"nobody knows a version of shop that worked before {good}" in error
        assert f"passed over: {bad[:12]} was rolled back" in error
        assert f", {A[:12]} is not in the store; " in error
        assert "name one: lazyimport rollback " in error
        assert SERVE.format(good) == file.read_text()

    def test_to_one_that_is_named(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        hash = cli.push(project)
        done = cli.run("rollback", file, "--to", hash[:8], "--store", cli.url)

        assert SERVE.format(hash) == file.read_text()
        assert f"{hash[:12]}: it was asked for" in done.stderr

    def test_to_one_that_the_store_does_not_have_any_more(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        cli.push(project)
        cli.run("deploy", file, "--hash", B)
        error = cli.fail("rollback", file, "--store", cli.url)

        assert f"passed over: {A[:12]} is not in the store; " in error
        assert SERVE.format(B) == file.read_text()
        error = cli.fail("rollback", file, "--store", cli.url, "--to", A)
        assert f"archive {A} is not in {cli.url}, so no worker could run it" in error
        assert SERVE.format(B) == file.read_text()

    def test_with_a_store_that_is_away(self, cli: CommandLine, file: Path) -> None:
        """Nodes have the archive: going back needs no store."""
        cli.run("deploy", file, "--hash", B)
        away = ("--store", "https://127.0.0.1:9/x")
        done = cli.run("rollback", file, *away, LAZYIMPORT_TIMEOUT="1")

        assert SERVE.format(A) == file.read_text()
        assert "what it knows does not count" in done.stderr
        assert "it was not checked that the archive is in the store" in done.stderr

    def test_what_nobody_signed_does_not_count(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        """Under trusted keys: whoever may write to the store sends nobody back."""
        pytest.importorskip("cryptography")
        from lazyimport.registry.signer import make_key

        public = make_key(f"{cli.folder}/key").public
        hash = cli.push(project)
        deploy = ("deploy", file, "--store", cli.url)
        cli.run(*deploy, "--hash", hash)
        cli.run(*deploy, "--push", project / "shop" / "templates")
        other: dict[str, Any] = {"LAZYIMPORT_CACHE_DIR": str(cli.folder / "other")}
        rollback = ("rollback", file, "--store", cli.url)
        error = cli.fail(*rollback, LAZYIMPORT_TRUSTED_KEYS=public, **other)
        assert "nobody knows a version of shop" in error

        cli.run(*deploy, "--hash", hash, "--sign", f"{cli.folder}/key")
        bad = ("--push", project / "shop" / "templates")
        cli.run(*deploy, *bad, "--sign", f"{cli.folder}/key")
        cli.run(*rollback, LAZYIMPORT_TRUSTED_KEYS=public, **other)
        assert SERVE.format(hash) == file.read_text()


def served(name: str, hash: str) -> dict[str, Any]:
    """An application of one replica as Serve tells of it."""
    replica = {"replica_id": "r1", "actor_id": "1", "state": "RUNNING"}
    return {
        "status": "RUNNING",
        "deployments": {
            "Shop": {
                "target_num_replicas": 1,
                "replicas": [{**replica, "start_time_s": 1.0}],
            }
        },
        "deployed_app_config": {
            "name": name,
            "runtime_env": {"env_vars": {"LAZYIMPORT_HASH": hash}},
        },
    }


def actor(name: str, hash: str) -> dict[str, Any]:
    """The actor of its replica as Ray tells of it."""
    env = {"env_vars": {"LAZYIMPORT_HASH": hash}}
    return {
        "actor_id": "1",
        "name": f"SERVE_REPLICA::{name}#Shop#r1",
        "class_name": f"ServeReplica:{name}:Shop",
        "state": "ALIVE",
        "node_id": "0123456789abcdef",
        "pid": 7,
        "serialized_runtime_env": json.dumps(env),
    }


class Later(Dashboard):
    """A dashboard whose application is one thing after the other."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self._states = list(states)
        super().__init__()

    @property
    def serve(self) -> dict[str, Any]:
        now = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return {"applications": {"shop": now}}

    @serve.setter
    def serve(self, _: object) -> None:
        """Keep the states."""


class TestWithACluster:
    """What runs, by a dashboard that stands for Ray's."""

    def test_applies_and_waits(self, cli: CommandLine, file: Path) -> None:
        with Dashboard() as dashboard:
            dashboard.serve = {"applications": {"shop": served("shop", B)}}
            dashboard.actors = [actor("shop", B)]
            more = ("--apply", "--wait", "--address", dashboard.address)
            done = cli.run("deploy", file, "--hash", B, *more)

        (config,) = dashboard.applied
        env = config["applications"][0]["runtime_env"]["env_vars"]
        assert {"LAZYIMPORT_HASH": B} == env
        lines = done.stderr.splitlines()
        assert f"applied to {dashboard.address}" in lines
        assert f"shop/Shop/r1 {B[:12]} RUNNING" in lines
        assert "shop: all 1 replicas run it" in lines[-1]

    @pytest.mark.parametrize("runs", [A, B])
    def test_draws_how_it_went(self, cli: CommandLine, file: Path, runs: str) -> None:
        """Also when it fails: that is when somebody wants to look."""
        page = cli.folder / "rollout.html"
        with Dashboard() as dashboard:
            shop = {**served("shop", B), "message": "KeyError: 'a'"}
            shop["status"] = "RUNNING" if runs == B else "DEPLOY_FAILED"
            dashboard.serve = {"applications": {"shop": shop}}
            dashboard.actors = [actor("shop", runs)]
            more = ("--apply", "--wait", "--report", page, "--address")
            options = ("--hash", B, *more, dashboard.address)
            done = cli.run("deploy", file, *options, code=0 if runs == B else 1)

        text = page.read_text("utf-8")
        assert ('"outcome":"running"' in text) is (runs == B)
        assert '"id":"r1"' in text
        assert f"drawn in {page}" in done.stderr

    def test_quiet_keeps_the_verdict(self, cli: CommandLine, file: Path) -> None:
        with Dashboard() as dashboard:
            dashboard.serve = {"applications": {"shop": served("shop", B)}}
            dashboard.actors = [actor("shop", B)]
            more = ("--apply", "--wait", "-q", "--address", dashboard.address)
            done = cli.run("deploy", file, "--hash", B, *more)

        assert re.fullmatch(r"shop: all 1 replicas run it, after .* s\n", done.stderr)

    def test_an_interrupt_says_what_goes_on(self, cli: CommandLine, file: Path) -> None:
        with Dashboard() as dashboard:
            dashboard.serve = {"applications": {"shop": served("shop", A)}}
            more = ("--apply", "--wait", "--address", dashboard.address)
            with cli.start("deploy", file, "--hash", B, *more) as process:
                while not dashboard.applied:  # before that it is asked as well
                    time.sleep(0.05)
                asked = len(dashboard.asked)
                while "/api/serve/applications/" not in dashboard.asked[asked:]:
                    time.sleep(0.05)
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=60)[1]

        assert 130 == process.returncode
        assert (
            "lazyimport: interrupted; the cluster goes on with what it was given"
            in said
        )
        assert f"see 'lazyimport status {file}'; to go back: lazyimport " in said
        assert f"to go back: lazyimport rollback {file} --apply --wait" in said

    def test_a_failure_is_a_headline(self, cli: CommandLine, file: Path) -> None:
        """What went wrong, what serves now, what to type; the traceback if asked."""
        frame = f'  File "/c/trees/{B}/shop/serve.py", line 12, in f\n'
        text = f"Error:\nray::ServeReplica:shop:Shop.go()\n{frame}KeyError: 'a'\n"
        with Dashboard() as dashboard:
            shop = {**served("shop", B), "status": "DEPLOY_FAILED", "message": text}
            dashboard.serve = {"applications": {"shop": shop}}
            dashboard.actors = [actor("shop", A)]
            deploy = ("deploy", file, "--hash", B, "--apply", "--wait")
            more = ("--address", dashboard.address)
            plain = cli.run(*deploy, *more, code=1).stderr
            whole = cli.run("--verbose", *deploy, *more, code=1).stderr

        told = [line for line in plain.splitlines() if line.startswith("lazyimport: ")]
        assert [
            "KeyError: 'a', shop/serve.py:12, in a replica of Shop",
            f"application 'shop' cannot be deployed with archive {B}",
            f"replicas that serve now: 1 with {A}",
            f"to go back: lazyimport rollback {file} --apply --wait",
        ] == [line.removeprefix("lazyimport: ") for line in told]
        assert frame not in plain
        assert frame in whole

    def test_status(self, cli: CommandLine) -> None:
        with Dashboard() as dashboard:
            dashboard.actors = [actor("shop", A), actor("till", B)]
            environ: dict[str, Any] = {"RAY_DASHBOARD_ADDRESS": dashboard.address}
            done = cli.run("status", **environ)
            found = json.loads(cli.run("status", "--json", **environ).stdout)
            starting = served("shop", A)
            starting["deployments"]["Shop"]["replicas"][0]["state"] = "STARTING"
            dashboard.serve = {"applications": {"shop": starting}}
            hangs = cli.run("status", **environ).stdout

        header, *rows = [line.split() for line in done.stdout.splitlines()]
        assert ["KIND", "NAME", "HASH", "STATE", "NODE", "PID", "REASON"] == header
        assert [
            ["replica", "shop/Shop/r1", A[:12], "ALIVE", "01234567", "7"],
            ["replica", "till/Shop/r1", B[:12], "ALIVE", "01234567", "7"],
        ] == rows
        states = [line.split()[3] for line in hangs.splitlines() if "/Shop/r1" in line]
        assert ["STARTING", "ALIVE"] == states  # as Serve says, if it does
        told = "0 applications; 2 actors, replicas and jobs with 2 different hashes"
        assert f"{dashboard.address}: {told}" in done.stderr
        assert [A, B] == [process["hash"] for process in found["processes"]]

    def test_status_of_applications(self, cli: CommandLine, file: Path) -> None:
        """What each wants and serves, since when, by whom, and why not."""
        cli.run("deploy", file, "--hash", B)
        with Dashboard() as dashboard:
            failed = {**served("shop", B), "status": "DEPLOY_FAILED"}
            failed["message"] = "Deploying failed:\n  x\nKeyError: 'a'\nmore\n"
            failed["last_deployed_time_s"] = time.time() - 2 * 86400.0
            dashboard.serve = {"applications": {"shop": failed}}
            dashboard.actors = [actor("shop", A)]
            status = ("status", "--address", dashboard.address)
            done = cli.run(*status, TZ="Asia/Tokyo")
            (facts,) = json.loads(cli.run(*status, "--json").stdout)["applications"]
            cli.run(*status, "--exit-status", code=1)
            dashboard.serve["applications"]["shop"] = {**failed, "deployments": {}}
            nothing = cli.run(*status).stdout
            dashboard.serve["applications"]["shop"] = served("shop", A)
            cli.run(*status, "--exit-status")

        header, shop, *_ = done.stdout.splitlines()
        assert "WANTS SERVES COMMIT AGE BY REASON" in " ".join(header.split())
        row = f"shop DEPLOY_FAILED {B[:12]} 1 of 1 {A[:12]} 2 d "
        assert " ".join(shop.split()).startswith(row)
        assert "@" in shop
        assert shop.endswith("KeyError: 'a'")
        assert " 1 " + A[:12] in " ".join(nothing.splitlines()[1].split())
        assert (False, B) == (facts["well"], facts["hash"])
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["since"])
        assert A == facts["replicas"][0]["hash"]

    def test_status_of_live_replicas_after_a_deployment_that_failed(
        self, cli: CommandLine
    ) -> None:
        """They run what they were told last, not what they were started with."""
        with Dashboard() as dashboard:
            failed = {**served("shop", B), "status": "DEPLOY_FAILED"}
            dashboard.serve = {"applications": {"shop": {**failed, "deployments": {}}}}
            dashboard.actors = [actor("shop", A)]
            live = {"replica": "r1", "state": "swapped"}
            line = {"pid": 7, "hash": "c3" * 32, "live": live}
            dashboard.installs = f"{json.dumps(line)}\n"
            status = ("status", "--address", dashboard.address)
            shop = cli.run(*status).stdout.splitlines()[1]
            (facts,) = json.loads(cli.run(*status, "--json").stdout)["applications"]

        assert f" 1 {'c3' * 6}" in " ".join(shop.split())
        assert "c3" * 32 == facts["replicas"][0]["hash"]

    def test_status_of_an_application_that_dev_has_left(self, cli: CommandLine) -> None:
        """It wants and serves what it was told last, in each line of the tables."""
        told = "c3" * 32
        with Dashboard() as dashboard:
            shop = served("shop", A)
            config = shop["deployed_app_config"]
            config["runtime_env"]["env_vars"]["LAZYIMPORT_LIVE"] = "1"
            wish = {"user_config": {"lazyimport": {"hash": told, "wish": 1}}}
            config["deployments"] = [{"name": "Shop", **wish}]
            dashboard.serve = {"applications": {"shop": shop}}
            dashboard.actors = [actor("shop", A)]
            live = {"replica": "r1", "state": "swapped"}
            lines = [{"pid": 7, "hash": each, "live": live} for each in (B, told)]
            status = ("status", "--address", dashboard.address)
            dashboard.installs = json.dumps(lines[0]) + "\n"
            swaps = cli.run(*status).stdout.splitlines()[1]
            cli.run(*status, "--exit-status", code=1)
            dashboard.installs += json.dumps(lines[1]) + "\n"
            table = cli.run(*status, "--exit-status").stdout
            (facts,) = json.loads(cli.run(*status, "--json").stdout)["applications"]

        assert f" {told[:12]} 1 of 1 live {B[:12]}" in " ".join(swaps.split())
        shown = " ".join(table.split())
        assert f"shop RUNNING {told[:12]} 1 of 1 live {told[:12]}" in shown
        assert f"shop/Shop/r1 live {told[:12]}" in shown
        assert A[:12] not in shown
        assert (told, told, True) == (facts["hash"], facts["live"], facts["well"])
        assert told == facts["replicas"][0]["hash"]

    def test_status_names_the_commit_of_the_push(
        self, cli: CommandLine, file: Path
    ) -> None:
        record = cli.store / "provenance" / f"{B}.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"commit": "9f31c07d55ab0a", "dirty": True}))
        with Dashboard() as dashboard:
            dashboard.serve = {"applications": {"shop": served("shop", B)}}
            status = ("status", "--address", dashboard.address, "--store", cli.url)
            done = cli.run(*status)
            (facts,) = json.loads(cli.run(*status, "--json").stdout)["applications"]

        assert " 9f31c07d55ab+" in done.stdout.splitlines()[1]
        assert ("9f31c07d55ab0a", True) == (facts["commit"], facts["dirty"])

    def test_status_of_a_process_without_its_archive(self, cli: CommandLine) -> None:
        with Dashboard() as dashboard:
            dashboard.actors = [actor("shop", A)]
            failure = f"archive {A} is neither in x nor in the node cache\npush it"
            line = {"pid": 7, "hash": A, "failure": failure}
            dashboard.installs = f"{json.dumps(line)}\n"
            status = ("status", "--address", dashboard.address)
            done = cli.run(*status, "--exit-status", code=1)

        row = done.stdout.splitlines()[1]
        assert f"NO ARCHIVE  01234567    7  {failure.splitlines()[0]}" in row

    def test_status_of_a_ray_without_serve(self, cli: CommandLine) -> None:
        with Dashboard() as dashboard:
            dashboard.serve = {"applications": None, "error": 501}
            dashboard.actors = [actor("shop", A)]
            done = cli.run("status", "--address", dashboard.address)

        assert "; 1 actor, replica or job with " in done.stderr

    def test_status_is_shown_again_and_again(self, cli: CommandLine) -> None:
        with Dashboard() as dashboard:
            status = ("status", "--watch", "--address", dashboard.address)
            assert "leave out --json" in cli.fail(*status, "--json", code=2)
            with cli.start(*status) as process:
                while dashboard.asked.count("/api/serve/applications/") < 2:
                    time.sleep(0.1)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)

        assert 130 == process.returncode

    def test_status_is_watched_while_nothing_answers(
        self, cli: CommandLine, file: Path
    ) -> None:
        """And what is recorded of a deployment is read once."""
        cli.run("deploy", file, "--hash", B)
        shop = {**served("shop", B), "last_deployed_time_s": 1.0}
        with Dashboard() as dashboard:
            well = dashboard.serve = {"applications": {"shop": shop}}
            status = ("status", "--watch", "--address", dashboard.address)
            with cli.start(*status) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                rows = (line for line in process.stdout if line.startswith("shop "))
                assert "@" in next(rows)
                shutil.rmtree(cli.cache / "deployments")
                assert ["@", "@"] == ["@" * ("@" in next(rows)) for _ in range(2)]
                dashboard.serve = {"applications": None, "error": 500}
                told = next(line for line in process.stderr if "no answer" in line)
                dashboard.serve = well
                next(rows)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)

        assert re.search(r"no answer since 20\d\d-.*Z: Ray at .* refuses .500", told)
        assert 130 == process.returncode

    def test_status_of_a_node_that_does_not_tell(self, cli: CommandLine) -> None:
        with Dashboard() as dashboard:
            dashboard.actors = [actor("shop", A)]
            status = ("status", "--exit-status", "--address", dashboard.address)
            cli.run(*status)
            dashboard.mute = True
            done = cli.run(*status, code=1)

        told = "on node 01234567 have their archives is not known"
        assert told in done.stderr
        assert "Agent for node id" in done.stderr

    def test_status_of_nothing(self, cli: CommandLine) -> None:
        with Dashboard() as dashboard:
            done = cli.run("status", "--address", dashboard.address)

        assert "" == done.stdout
        assert "0 actors" in done.stderr

    def test_rollback_of_the_cluster_alone(self, cli: CommandLine) -> None:
        """To what still serves there; a manifest must follow."""
        with Dashboard() as dashboard:
            dashboard.serve = {"applications": {"shop": served("shop", B)}}
            dashboard.actors = [actor("shop", A)]
            rollback = ("rollback", "--app", "shop", "--address", dashboard.address)
            dry = cli.run(*rollback, "--dry-run")
            assert [] == dashboard.applied
            done = cli.run(*rollback)

        assert f"{dashboard.address}: shop: {B} -> {A}" in dry.stderr
        assert "nothing was written" in dry.stderr
        env = dashboard.applied[0]["applications"][0]["runtime_env"]["env_vars"]
        assert {"LAZYIMPORT_HASH": A} == env
        assert "the cluster will differ from the manifest" in done.stderr
        assert f"applied to {dashboard.address}" in done.stderr


class TestWithoutACluster:
    """What is said where nothing can be applied to."""

    def test_a_dashboard_that_does_not_answer(
        self, cli: CommandLine, file: Path
    ) -> None:
        address = ("--address", "127.0.0.1:9")
        told = "cannot reach Ray's dashboard at http://127.0.0.1:9"

        assert told in cli.fail("status", *address)
        assert told in cli.fail("rollback", "--app", "shop", *address)
        assert told in cli.fail("deploy", file, "--hash", B, "--apply", *address)

    def test_what_could_not_be_applied_can_be_tried_again_or_taken_back(
        self, cli: CommandLine, file: Path
    ) -> None:
        """The file has the new hash; what to do now is said, and the past is kept."""
        deploy = ("deploy", file, "--hash", B, "--apply", "--address")

        error = cli.fail(*deploy, "127.0.0.1:9")

        assert f"{file} names {B} already: to try again, run this again" in error
        assert f"to take it back: lazyimport rollback {file}\n" in error
        cli.run("rollback", file)
        assert SERVE.format(A) == file.read_text()

        cli.fail(*deploy, "127.0.0.1:9")
        with Dashboard() as dashboard:
            address = dashboard.address
            cli.run(*deploy, address)

        outcomes = [d.outcome for d in History(str(cli.cache)).deployments("shop")]
        assert ["applied", "written", "written", "written"] == outcomes

    def test_a_dashboard_that_is_not_ready_is_asked_again(
        self, cli: CommandLine, file: Path
    ) -> None:
        """Just started, it has no agent yet that could run a job."""
        with Dashboard() as dashboard:
            address = dashboard.address
            more = ("--prefetch", "--address", address, "--timeout", "60")
            done = cli.run("deploy", file, "--hash", B, *more)

        assert "prefetched to 1 of 1 nodes" in done.stderr
        assert 3 == dashboard.submitted
        assert SERVE.format(B) == file.read_text()

    def test_a_change_that_cannot_be_written_is_not_told(
        self, cli: CommandLine, file: Path
    ) -> None:
        folder = cli.folder / "read-only"
        folder.mkdir()
        copy = shutil.copy(file, folder)
        folder.chmod(0o500)
        done = cli.run("deploy", copy, "--hash", B, code=1, before=LIMITED)

        assert f"lazyimport: {copy}: Permission denied" in done.stderr
        assert "->" not in done.stderr

    def test_a_check_with_an_address_asks_which_python_the_nodes_have(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        """Not in a dry run: a job would be something new in the cluster."""
        (project / "shop/fast.cpython-38-sparc-linux-gnu.so").write_bytes(b"\x7fELF")
        words = ["deploy", file, "--push", project, "--store", cli.url]
        words += ["--check", "shop.main"]
        here = this_python("node 10.0.0.7")
        other = here._replace(minor=8, suffixes=[".cpython-38-sparc-linux-gnu.so"])
        with Dashboard() as dashboard:
            words += ["--address", dashboard.address]
            dashboard.logs = f"starting\n{json.dumps(here._asdict())}\n"
            wrong = cli.fail(*words)
            assert not (cli.store / "archives").exists()
            dashboard.logs = f"{json.dumps(other._asdict())}\n"
            done = cli.run(*words)

        assert "shop/fast.cpython-38-sparc-linux-gnu.so is for another Python" in wrong
        assert "that of node 10.0.0.7" in wrong
        assert ["python -m lazyimport.ray.describe_job"] * 2 == dashboard.commands
        assert f"is for Python 3.8 of 1 node at {dashboard.address}" in done.stderr

    def test_a_rayservice_needs_kubectl(self, cli: CommandLine, service: Path) -> None:
        path = str(cli.folder)
        error = cli.fail("deploy", service, "--hash", B, "--apply", PATH=path)

        assert "kubectl, which is not on PATH" in error

    def test_a_dashboard_that_kubectl_cannot_reach(
        self, cli: CommandLine, service: Path
    ) -> None:
        kubectl = cli.folder / "kubectl"
        kubectl.write_text("#!/bin/sh\necho starting; echo no such service >&2; exit 1")
        kubectl.chmod(0o755)
        path = f"{cli.folder}{os.pathsep}{os.environ['PATH']}"
        error = cli.fail("deploy", service, "--hash", B, "--wait", PATH=path)

        assert "cannot reach the dashboard of RayService 'x': starting" in error
        assert "no such service; forward the port of the dashboard" in error
        assert "with --address" in error

    @pytest.mark.parametrize(
        ("did", "then", "ends"),
        [
            ("configured", "new", "RUNNING"),
            ("configured", "old", "DEPLOY_FAILED"),  # of its labels, say
            ("unchanged", "", "DEPLOY_FAILED"),
            ("configured", "", "RUNNING"),  # as far as anybody may know
        ],
    )
    def test_a_failure_from_before_it_was_applied(
        self, cli: CommandLine, service: Path, did: str, then: str, ends: str
    ) -> None:
        """KubeRay tells Serve later, or never if what it goes by is what it was."""
        now = cli.folder / "given"
        now.write_text(json.dumps({"spec": {"serveConfigV2": "old"}}) * bool(then))
        later = json.dumps({"spec": {"serveConfigV2": then}}) if then else ""
        cli.run("deploy", service, "--hash", B)
        failed = {**served("shop", B), "status": "DEPLOY_FAILED", "message": "old"}
        failed["last_deployed_time_s"] = 1.0
        runs = {**served("shop", B), "last_deployed_time_s": 2.0}
        with Later(failed, failed, failed, runs) as dashboard:
            dashboard.actors = [actor("shop", B)]
            port = dashboard.server_port
            kubectl = cli.folder / "kubectl"
            kubectl.write_text(
                "#!/bin/sh\n"
                f"test $1 = get && exec cat {now}\n"
                f"test $1 = apply && echo '{later}' > {now} && "
                f"exec echo rayservice.ray.io/x {did}\n"
                f"echo 'Forwarding from 127.0.0.1:{port} -> 8265'; exec sleep 600\n"
            )
            kubectl.chmod(0o755)
            path = f"{cli.folder}{os.pathsep}{os.environ['PATH']}"
            words = ("deploy", service, "--hash", B, "--apply", "--wait")
            done = cli.run(*words, code=int(ends != "RUNNING"), PATH=path)

        (last, *_) = History(str(cli.cache)).deployments("shop")
        assert last.outcome == {"RUNNING": "running"}.get(ends, "failed")
        assert ("cannot be deployed" in done.stderr) is (ends != "RUNNING")

    @pytest.mark.parametrize("named", [A, B])
    def test_a_failure_from_before_somebody_else_applies_it(
        self, cli: CommandLine, file: Path, named: str
    ) -> None:
        """It is of this archive only if the file had named it before."""
        cli.run("deploy", file, "--hash", named)
        failed = {**served("shop", B), "status": "DEPLOY_FAILED", "message": "old"}
        failed["last_deployed_time_s"] = 1.0
        runs = {**served("shop", B), "last_deployed_time_s": 2.0}
        with Later(failed, failed, failed, runs) as dashboard:
            dashboard.actors = [actor("shop", B)]
            at = ("--address", dashboard.address)
            words = ("deploy", file, "--hash", B, "--wait", *at)
            done = cli.run(*words, code=int(named == B))

        assert ("cannot be deployed" in done.stderr) is (named == B)

    def test_a_job_cannot_be_waited_for(self, cli: CommandLine) -> None:
        file = cli.folder / "job.yaml"
        file.write_text("kind: RayJob\nmetadata: {name: x}\nspec: {entrypoint: y}\n")

        assert "leave out --wait" in cli.fail(
            "deploy", file, "--hash", B, "--apply", "--wait", code=2
        )

    @pytest.mark.parametrize(
        ("name", "verb", "did", "warned"),
        [
            ("name: x", "apply", "created", False),
            ("name: x", "apply", "configured", True),
            ("name: x", "apply", "unchanged", True),
            ("generateName: x", "create", "created", False),
        ],
    )
    def test_a_job_runs_once(
        self, cli: CommandLine, name: str, verb: str, did: str, warned: bool
    ) -> None:
        """KubeRay does nothing with what changes in a RayJob that has started."""
        file = cli.folder / "job.yaml"
        file.write_text(
            f"kind: RayJob\nmetadata: {{{name}}}\nspec: {{entrypoint: y}}\n"
        )
        kubectl = cli.folder / "kubectl"
        kubectl.write_text(
            f"#!/bin/sh\ntest $1 = {verb} && echo rayjob.ray.io/x {did}\n"
        )
        kubectl.chmod(0o755)
        path = f"{cli.folder}{os.pathsep}{os.environ['PATH']}"
        done = cli.run("deploy", file, "--hash", B, "--apply", PATH=path)

        assert f"rayjob.ray.io/x {did}" in done.stderr
        assert warned == ("kubectl delete rayjob x" in done.stderr)

    def test_several_clusters_are_not_waited_for_at_once(
        self, cli: CommandLine, service: Path
    ) -> None:
        text = service.read_text()
        other = text.replace("name: x", "name: y").replace("name: shop", "name: till")
        service.write_text(f"{text}\n---\n{other}")
        names = ("--app", "shop", "--app", "till")

        assert "several RayServices" in cli.fail(
            "deploy", service, *names, "--hash", B, "--wait", code=2
        )

    def test_a_job_has_no_cluster_to_prefetch_to(self, cli: CommandLine) -> None:
        file = cli.folder / "job.yaml"
        file.write_text("kind: RayJob\nmetadata: {name: x}\nspec: {entrypoint: y}\n")

        assert "a cluster for each run" in cli.fail(
            "deploy", file, "--hash", B, "--prefetch", code=2
        )

    def test_what_somebody_changes_meanwhile_stays(
        self, cli: CommandLine, file: Path
    ) -> None:
        """Prefetching takes time, and the file belongs to others too."""
        text = file.read_text()
        with Dashboard() as dashboard:
            dashboard.meanwhile = lambda: file.write_text(f"{text}  # by hand\n")
            address = dashboard.address
            more = ("--prefetch", "--address", address, "--timeout", "60")
            done = cli.run("deploy", file, "--hash", B, *more)

        assert "was changed by somebody meanwhile" in done.stderr
        assert f"{text.replace(A, B)}  # by hand\n" == file.read_text()

    def test_a_store_that_is_not_that_of_the_workers(
        self, cli: CommandLine, file: Path, project: Path
    ) -> None:
        name = cli.push(project)
        done = cli.run("deploy", file, "--hash", name, LAZYIMPORT_STORE=cli.url)
        assert "look in" not in done.stderr

        text = file.read_text()
        file.write_text(text.replace("{LAZY", "{LAZYIMPORT_STORE: gs://theirs, LAZY"))
        done = cli.run("deploy", file, "--hash", name, LAZYIMPORT_STORE=cli.url)
        assert "the workers of shop look in gs://theirs" in done.stderr

    def test_a_value_that_is_not_of_json(self, cli: CommandLine, file: Path) -> None:
        file.write_text(f"{file.read_text()}    args: {{since: 2024-01-01}}\n")
        error = cli.fail("deploy", file, "--hash", B, "--apply")

        assert "put it in quotes" in error
        assert "to take it back: lazyimport rollback" in error

    def test_an_address_that_is_none(self, cli: CommandLine, file: Path) -> None:
        more = ("--apply", "--address", "ray://127.0.0.1:10001")
        error = cli.fail("deploy", file, "--hash", B, *more)

        assert "is no address of Ray's dashboard" in error
        assert "trying again" not in error

    @pytest.mark.parametrize("place", ["variable", "path", "home"])
    def test_the_token_is_found_where_ray_finds_it(
        self, cli: CommandLine, file: Path, place: str
    ) -> None:
        (cli.folder / ".ray").mkdir()
        where = cli.folder / (".ray/auth_token" if place == "home" else "token")
        where.write_text("secret\n")
        environ: dict[str, Any] = {
            "variable": {"RAY_AUTH_TOKEN": "secret"},
            "path": {"RAY_AUTH_TOKEN_PATH": str(where)},
            "home": {"HOME": str(cli.folder)},
        }[place]
        with Dashboard() as dashboard:
            address = dashboard.address
            more = ("--apply", "--address", address)
            cli.run("deploy", file, "--hash", B, *more, **environ)

        assert ["Bearer secret"] == dashboard.tokens

    def test_rollback_of_the_first_deployment(
        self, cli: CommandLine, file: Path
    ) -> None:
        file.write_text(file.read_text().replace(f"LAZYIMPORT_HASH: {A}", "X: y"))
        cli.run("deploy", file, "--hash", B)
        error = cli.fail("rollback", file)

        assert f"shop had no hash before {B}" in error
        assert f"take LAZYIMPORT_HASH out of {file}:2" in error

    def test_rollback_of_nothing(self, cli: CommandLine) -> None:
        assert "give the manifest" in cli.fail("rollback", code=2)
