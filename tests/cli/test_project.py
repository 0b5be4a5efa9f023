"""What ``[tool.lazyimport]`` says to commands, and what it may not say."""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture
def project(tmp_path: Path, cli: CommandLine) -> Path:
    folder = tmp_path / "project"
    (folder / "src" / "shop").mkdir(parents=True)
    (folder / "src" / "shop" / "__init__.py").write_text("x = 1\n")
    lines = ["[tool.lazyimport]", f'store = "{cli.url}"', 'check = ["shop:x"]']
    (folder / "pyproject.toml").write_text("\n".join(lines))
    return folder


def test_a_store_counts_once_somebody_has_pushed_there(
    project: Path, cli: CommandLine
) -> None:
    """Whoever wrote the tree would have it sent where they want it."""
    text = cli.fail("push", code=2, cwd=project)
    assert f"only pyproject.toml names the store {cli.url}" in text
    assert not cli.store.exists()

    name = cli.run("push", "--store", cli.url, cwd=project).stdout
    assert cli.run("push", cwd=project).stdout == name
    assert name.strip() in cli.run("ls", cwd=project / "src").stdout
    done = cli.run("push", cwd=project)
    assert f"already there: nothing sent ({cli.url}" in done.stderr
    assert "1 module of src in" in done.stderr


def test_a_store_may_have_any_name(
    project: Path, cli: CommandLine, tmp_path: Path
) -> None:
    """Also one that is no text."""
    for store in (f"file://{tmp_path}/\udcff", f"file://{tmp_path}/\u2028x"):
        cli.run("push", "--store", store, cwd=project)
    name = cli.run("push", "--store", cli.url, cwd=project).stdout
    assert cli.run("push", cwd=project).stdout == name


def test_option_and_environment_win(
    project: Path, cli: CommandLine, tmp_path: Path
) -> None:
    cli.run("push", cwd=project, LAZYIMPORT_STORE=cli.url)
    cli.run("push", "--store", tmp_path / "a", cwd=project)
    cli.run("push", cwd=project, LAZYIMPORT_STORE=f"file://{tmp_path}/b")
    assert all(os.listdir(tmp_path / name) for name in ("a", "b"))
    cli.run("run", "0" * 64, "-m", "x", cwd=project, code=1)


def test_another_store_must_be_named_again(
    project: Path, cli: CommandLine, tmp_path: Path
) -> None:
    cli.run("push", "--store", cli.url, cwd=project)
    other = (project / "pyproject.toml").read_text().replace("/store", "/evil")
    (project / "pyproject.toml").write_text(other)
    assert "/evil" in cli.fail("push", code=2, cwd=project)
    assert not (tmp_path / "evil").exists()
    assert "no archives in the node cache" not in cli.run("ls", cwd=project).stderr


def test_a_check_runs_only_where_it_is_asked_for(
    project: Path, cli: CommandLine, tmp_path: Path
) -> None:
    """It runs code of the tree."""
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\nx = 1\n"
    (project / "src" / "shop" / "__init__.py").write_text(code)
    cli.run("push", "--store", cli.url, cwd=project)
    assert not ran.exists()
    done = cli.run("push", "--check", cwd=project)
    assert "shop:x: fine" in done.stderr
    assert ran.exists()


def test_a_syntax_error_that_a_check_reaches(project: Path, cli: CommandLine) -> None:
    (project / "src" / "shop" / "x.py").write_text("def f(:\n")
    assert "x.py:1" in cli.run("push", "--store", cli.url, cwd=project).stderr
    (project / "src" / "shop" / "__init__.py").write_text("from shop import x\n")
    before = sorted(os.listdir(cli.store / "archives"))
    assert "SyntaxError" in cli.run("push", "--check", cwd=project, code=1).stderr
    assert sorted(os.listdir(cli.store / "archives")) == before


def test_nothing_to_check(project: Path, cli: CommandLine) -> None:
    (project / "pyproject.toml").write_text("")
    text = cli.fail("push", "--store", cli.url, "--check", code=2, cwd=project)
    assert "add MODULE:ATTR to --check" in text


@pytest.fixture(name="deployed")
def _deployed(project: Path, cli: CommandLine) -> Path:
    """A project whose table says all."""
    pytest.importorskip("ruamel.yaml")
    with (project / "pyproject.toml").open("a") as file:
        file.write('\nmanifest = "conf/serve.yaml"\napp = "shop"\n')
    (project / "conf").mkdir()
    text = "applications:\n- name: shop\n  import_path: shop:x\n- name: till\n"
    (project / "conf/serve.yaml").write_text(text)
    cli.run("push", "--store", cli.url, cwd=project)
    return project


def test_deploy_and_rollback_need_no_arguments(
    deployed: Path, cli: CommandLine
) -> None:
    file, code = deployed / "conf/serve.yaml", deployed / "src/shop/__init__.py"
    done = cli.run("deploy", "--check", cwd=deployed / "src")
    first = cli.run("push", cwd=deployed).stdout.strip()
    assert "shop:x: fine" in done.stderr
    assert f"../conf/serve.yaml:2: shop: no hash -> {first}" in done.stderr
    assert 1 == file.read_text().count(first)

    code.write_text("x = 2\n")
    cli.run("deploy", cwd=deployed)
    second = cli.run("push", cwd=deployed).stdout.strip()
    assert first not in file.read_text()
    cli.run("rollback", "--to", first, cwd=deployed)
    assert second not in file.read_text()
    assert first[:12] in cli.run("history", cwd=deployed).stdout


def test_history_knows_the_only_application_of_the_manifest(
    deployed: Path, cli: CommandLine
) -> None:
    config, file = deployed / "pyproject.toml", deployed / "conf/serve.yaml"
    config.write_text(config.read_text().replace('app = "shop"\n', ""))
    assert "say which" in cli.fail("history", cwd=deployed)

    file.write_text("applications:\n- name: only\n")
    told = cli.run("history", cwd=deployed).stderr
    assert "only: 0 deployments" in told
    assert f"from {cli.url} and the node cache" in told
    assert "see 'lazyimport log' for what was deployed" in told


def test_a_key_of_the_table(deployed: Path, cli: CommandLine) -> None:
    values = deployed / "conf/serve.yaml"
    values.write_text("code: {hash: none}\n")
    with (deployed / "pyproject.toml").open("a") as file:
        file.write('set-key = "code.hash"\n')
    cli.run("deploy", cwd=deployed)
    hash = cli.run("push", cwd=deployed).stdout.strip()

    assert f"code: {{hash: {hash}}}\n" == values.read_text()
    assert hash[:12] in cli.run("history", cwd=deployed).stdout


def test_what_is_typed_wins_over_the_table(deployed: Path, cli: CommandLine) -> None:
    other = deployed / "other.yaml"
    other.write_text("applications:\n- name: only\n")
    assert "which archive?" in cli.fail("deploy", "other.yaml", cwd=deployed, code=2)
    cli.run("deploy", "other.yaml", "--push", "src", cwd=deployed)
    hash = cli.run("push", cwd=deployed).stdout.strip()
    assert hash in other.read_text()
    file = deployed / "conf/serve.yaml"
    assert hash not in file.read_text()

    cli.run("deploy", "--app", "till", "--hash", hash, cwd=deployed)
    assert file.read_text().index("till") < file.read_text().index(hash)
    code = deployed / "src" / "shop" / "__init__.py"
    code.write_text("import gone\n")
    for options in ([], ["--check", "shop"]):
        cli.run("deploy", *options, "-n", cwd=deployed, code=len(options) // 2)


def test_nothing_is_deployed_to_a_store_that_nobody_named(
    deployed: Path, cli: CommandLine, tmp_path: Path
) -> None:
    other = (deployed / "pyproject.toml").read_text().replace("/store", "/evil")
    (deployed / "pyproject.toml").write_text(other)
    before = (deployed / "conf/serve.yaml").read_text()
    assert "only pyproject.toml names the store" in cli.fail(
        "deploy", cwd=deployed, code=2
    )
    assert before == (deployed / "conf/serve.yaml").read_text()
    assert not (tmp_path / "evil").exists()


def test_status_asks_the_cluster_of_the_manifest(
    deployed: Path, cli: CommandLine, tmp_path: Path
) -> None:
    """That of a RayService is reached through kubectl, as by deploy."""
    text = (deployed / "conf/serve.yaml").read_text()
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    (deployed / "conf/serve.yaml").write_text(
        f"kind: RayService\nmetadata: {{name: x}}\nspec:\n  serveConfigV2: |\n{lines}"
    )
    path = f"{tmp_path}/nothing"
    assert "kubectl" in cli.fail("status", cwd=deployed, PATH=path)
    (tmp_path / "elsewhere").mkdir()
    named = ("status", deployed / "conf/serve.yaml")
    assert "kubectl" in cli.fail(*named, cwd=tmp_path / "elsewhere", PATH=path)
    address = "http://localhost:1"
    error = cli.fail("status", cwd=deployed, PATH=path, RAY_DASHBOARD_ADDRESS=address)
    assert address in error


def test_names_that_are_missing(tmp_path: Path, cli: CommandLine) -> None:
    pytest.importorskip("ruamel.yaml")
    assert "give the manifest" in cli.fail("deploy", code=2, cwd=tmp_path)
    assert "give the application" in cli.fail("history", code=2, cwd=tmp_path)


@pytest.mark.parametrize("store", [(), ("--store", "./st")])
@pytest.mark.parametrize(
    "command", ["check", "deploy", "dev", "history", "ls", "push", "rollback", "status"]
)
def test_a_mistake_in_pyproject_is_named_once(
    project: Path, cli: CommandLine, command: str, store: tuple[str, ...]
) -> None:
    """It is all that a command says which is about the project; others go on."""
    (project / "pyproject.toml").write_text("[tool.lazyimport]\ncheck = 'shop'\n")
    (project / "st").mkdir()
    words = [command, "4be81c02"] if command == "check" else [command]
    store = () if command == "status" else store
    code = 0 if command == "ls" else 1
    said = cli.run(*words, *store, cwd=project, code=code).stderr

    if command != "ls":
        assert said.endswith(
            "[tool.lazyimport] check must be a list of strings, not 'shop'\n"
        )
        assert 1 == said.count("\n")
    elif not store:
        assert 1 == said.count("check must be a list of strings, not 'shop'")
        assert "so no store that it may name counts\n" in said
