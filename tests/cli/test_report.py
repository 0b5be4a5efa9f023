"""``report``: the page of an archive."""

from __future__ import annotations

import json
import re

import pytest

from lazyimport.format.profile import Start
from tests.support.profiles import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.cli.conftest import CommandLine


def facts_in(page: Path) -> dict[str, Any]:
    """Return what a page shows; tests/report has the page itself."""
    text = page.read_text("utf-8")
    found = re.search(r'<script type="application/json">(.*)</script>', text)
    assert found
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def test_report(cli: CommandLine, project: Path) -> None:
    before = cli.push(project)
    (project / "shop/prices.py").write_text("def price(count):\n    return 9\n")
    hash = cli.push(project)
    cli.run("channel", "set", "prod", hash, "--store", cli.url)
    profiles = cli.folder / "profiles"
    run = ("run", hash, "--store", cli.url, "-m", "shop.main")
    for _ in range(2):
        cli.run(*run, LAZYIMPORT_PROFILE=str(profiles))
    out = cli.folder / "page.html"
    what = ("prod", before, "--profile", profiles, "--store", cli.url)

    done = cli.run("report", *what, "-o", out)

    assert f"{out}\n" == done.stdout
    facts = facts_in(out)
    assert hash == facts["hash"]
    assert any(text.startswith("pushed by ") for text in facts["about"])
    assert 2 == facts["profile"]["processes"]
    (prices,) = [each for each in facts["profile"]["imports"] if "prices" in each[0]]
    assert ["shop.prices", "shop/prices.py"] == prices[:2]
    assert 2 == prices[3]
    assert before == facts["difference"]["other"]
    assert "shop/prices.py" == facts["difference"]["changes"][0][3]


def test_report_of_what_a_manifest_names(cli: CommandLine, project: Path) -> None:
    pytest.importorskip("ruamel.yaml", reason="needs the extra 'deploy'")
    hash = cli.push(project)
    environment = f"{{env_vars: {{LAZYIMPORT_HASH: {hash}}}}}"
    (project / "serve.yaml").write_text(
        f"applications:\n- {{import_path: shop:app, runtime_env: {environment}}}\n"
    )

    done = cli.run("report", "serve.yaml", "--store", cli.url, cwd=project)

    assert f"report-{hash[:12]}.html\n" == done.stdout
    facts = facts_in(project / done.stdout.strip())
    assert (hash, None, None) == (
        facts["hash"],
        facts["profile"],
        facts["difference"],
    )


def test_a_profile_of_another_archive_is_refused(
    cli: CommandLine, project: Path
) -> None:
    hash = cli.push(project)
    profile = cli.folder / "start.jsonl"
    profile.write_bytes(encode([Start("ab" * 32)]))

    said = cli.fail("report", hash, "--profile", profile, "--store", cli.url)

    assert f"the profile has no start of archive {hash}, but of abababababab" in said
    assert not (cli.folder / f"report-{hash[:12]}.html").exists()
