"""The pages in a real browser: what they say, keys, and nothing that runs by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazyimport.delivery.comparing import compare
from lazyimport.deploy import Timeline
from lazyimport.deploy.status import Replica, Served
from lazyimport.format.profile import Module, Start
from lazyimport.report.archive import report_archive
from lazyimport.report.page import render
from tests.report.conftest import HOSTILE, contents_of
from tests.support.browser import Browser

FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": "x = 1\n" * 2000,
    "shop/deep/__init__.py": "",
    "shop/deep/unused.py": "x = 1\n" * 500,
    f"shop/{HOSTILE}.txt".replace("\u2028", ""): "x" * 5000,
    "weights.bin": "x" * 50_000,
}


@pytest.fixture(name="page", scope="module")
def _page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = contents_of({**FILES, "gone.txt": "1234", "shop/cart.py": "x = 1\n"})
    contents = contents_of(FILES)
    cart = Module("shop.cart", "shop/cart.py", parent="shop", total=0.3, find=0.01)
    modules = [
        Module("shop", "shop/__init__.py", at=0.1, run=0.1, total=0.6),
        cart._replace(at=0.2, read=0.02, load=0.07, run=0.2, size=300),
        Module(HOSTILE, parent="shop", at=0.3, run=0.2, total=0.2),
    ]
    looked = {"shop/deep": "shop.cart"}
    start = Start(contents.index.hash, seconds=1.5, modules=modules, looked=looked)
    report = report_archive(
        contents, ["commit 12ab"], [start], compare(before, contents)
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    title = f"Archive {HOSTILE}"
    path.write_text(render("archive.js", title, report.facts()), "utf-8")
    return path


class TestArchive:
    """The page that `lazyimport report` writes."""

    def test_files_by_size(self, browser: Browser, page: Path) -> None:
        browser.open(page)

        # The largest first, and a folder before what is in it.
        names = browser.texts(".map button")
        assert "weights.bin" == names[0].split("\n")[0]
        assert "shop" == names[1]
        assert ["commit 12ab · a store"] == browser.texts("main > p.soft")
        rows = [row.split("\t") for row in browser.texts("tbody tr")]
        assert ["weights.bin", "1", "50 kB", "50 kB", ""] == rows[0][:5]
        assert ["shop/", "5"] == rows[1][:2]

    def test_a_folder_opens_by_keys_and_by_the_address(
        self, browser: Browser, page: Path
    ) -> None:
        browser.open(page)
        browser.value("document.querySelector('.map button').focus()")
        browser.press("ArrowRight")
        focused = "document.activeElement.getAttribute('aria-label')"
        assert browser.value(focused).startswith("shop")
        browser.value("document.querySelectorAll('.map .folder')[0].focus()")
        browser.press("Enter")
        browser.wait("location.hash === '#files/shop'")
        browser.wait("document.querySelector('nav').innerText === 'archive / shop'")
        browser.press("Escape")
        browser.wait("document.querySelector('nav').innerText === 'archive'")

        browser.open(page, "files/shop/deep/unused.py")
        assert ["archive / shop / deep"] == browser.texts("nav")

    def test_colors_say_what_was_imported_and_what_changed(
        self, browser: Browser, page: Path
    ) -> None:
        browser.open(page, "files/shop")

        def legend(choice: str) -> list[str]:
            browser.value(
                "((s, v) => { s.value = v; s.dispatchEvent(new Event('change')) })"
                f"(document.querySelector('select'), {choice!r})"
            )
            return [text.split(" ")[0] for text in browser.texts(".legend li")]

        assert ["Sources", "Bytecode", "Data"] == legend("kind")
        assert ["Imported", "Never"] == legend("imports")
        assert ["Changed", "The"] == legend("changes")

    def test_imports_by_time(self, browser: Browser, page: Path) -> None:
        browser.open(page, "imports")

        rows = [row.split("\t") for row in browser.texts("tbody tr")]
        cart = next(row for row in rows if row[0] == "shop.cart")
        assert ["shop", "300 ms", "300 ms", "10 ms", "", "20 ms", "70 ms"] == cart[1:8]
        never = next(row for row in rows if row[0] == "shop" and "of" in row[1])
        assert "2 of 4" == never[1]
        assert ["shop/deep", "shop.cart"] in rows
        bars = browser.texts(".flame button")
        assert ["all imports 600 ms", "shop 600 ms", "shop.cart 300 ms"] == bars[:3]
        browser.value("document.querySelectorAll('.flame button')[1].focus()")
        browser.press("ArrowDown")
        browser.press("Enter")
        browser.wait("location.hash === '#imports/shop.cart'")
        browser.wait("document.querySelectorAll('.flame button').length === 1")

    def test_difference(self, browser: Browser, page: Path) -> None:
        browser.open(page, "changes")

        rows = [row.split("\t") for row in browser.texts("tbody tr")]
        assert [
            ["gone.txt", "removed", "4 B", "", "−4 B"],  # noqa: RUF001 - as shown
            ["shop/cart.py", "changed", "6 B", "12 kB", "+12 kB"],
        ] == rows

    @pytest.mark.parametrize("part", ["files/shop", "imports", "changes"])
    def test_names_are_text_and_nothing_is_asked_of_the_network(
        self, browser: Browser, page: Path, part: str
    ) -> None:
        browser.open(page, part)

        assert f"Archive {HOSTILE}" == browser.value(
            "document.querySelector('title').textContent"
        )
        assert 0 == browser.value("document.querySelectorAll('img').length")
        assert ([], []) == (browser.complaints, browser.requests)

    def test_an_injected_script_would_not_run(
        self, browser: Browser, page: Path, tmp_path: Path
    ) -> None:
        """The policy of the page knows its one script by its digest."""
        bad = tmp_path / "bad.html"
        text = page.read_text("utf-8")
        bad.write_text(
            text.replace("<main>", "<script>ran = 1</script><main>"), "utf-8"
        )
        browser.open(bad)

        assert "undefined" == browser.value("typeof ran")
        assert any("Content Security Policy" in text for text in browser.complaints)


@pytest.fixture(name="rollout", scope="module")
def _rollout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    old, new = "a1" * 32, "b2" * 32
    timeline = Timeline({"shop": new})

    def see(at: float, status: str, *replicas: tuple[str, str, str]) -> None:
        seen = [Replica("Shop", name, hash, s, 0.0) for name, hash, s in replicas]
        said = f"Traceback (most recent call last):\nKeyError: {HOSTILE}"
        targets = {"Shop": 1}
        timeline.see(
            [Served("shop", new, status, said * (at > 2), targets, tuple(seen))], at
        )

    running = ("one", old, "RUNNING")
    see(0, "DEPLOYING", running)
    see(1, "DEPLOYING", running, ("two", new, "STARTING"))
    see(4, "DEPLOYING", running, ("three", new, "STARTING"))
    timeline.count({"one": (10.0, 0.0)}, 4)
    see(9, "DEPLOYING", ("one", old, "STOPPING"), ("three", new, "RUNNING"))
    timeline.count({"one": (90.0, 1.0), "three": (2.0, 0.0)}, 9)
    see(12, "RUNNING", ("three", new, "RUNNING"))
    timeline.count({"three": (60.0, 0.0)}, 12)
    timeline.outcome, timeline.lasted = "running", 12.5
    path = tmp_path_factory.mktemp("page") / "rollout.html"
    path.write_text(render("rollout.js", "Rollout", timeline.facts()), "utf-8")
    return path


def test_rollout(browser: Browser, rollout: Path) -> None:
    """The page that `lazyimport deploy --wait --report` writes."""
    browser.open(rollout)

    names, values = browser.texts("dt"), browser.texts("dd")
    assert {
        "Outcome": "running",
        "Took": "12.5 s",
        "First replica served after": "9.00 s",
        "Last old one gone after": "12.0 s",
        "Replicas": "3",
        "Did not start": "1",
        "Requests meanwhile": "140",
        "Of these failed": "1",
    } == dict(zip(names, values, strict=True))
    drawn = browser.value(
        "[...document.querySelectorAll('svg text')].map(e => e.textContent)"
    )
    assert {"Shop#one", "Shop#two", "Shop#three", "✕ did not start"} <= set(drawn)
    rows = [row.split("\t") for row in browser.texts("tbody tr")]
    assert ["shop/Shop/two", "b2" * 6, "STARTING 3.00 s", "1.00 s", "4.00 s"] in rows
    assert HOSTILE.strip() in browser.texts("summary")[0]
    assert 0 == browser.value("document.querySelectorAll('img').length")
    assert ([], []) == (browser.complaints, browser.requests)
