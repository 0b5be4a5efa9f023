"""The values that a report of an archive shows."""

from __future__ import annotations

import pytest

from lazyimport.delivery.comparing import compare
from lazyimport.errors import SettingsError
from lazyimport.format.profile import CODE, FILE, PACKAGE, Module, Read, Start
from lazyimport.report import archive
from lazyimport.report.archive import File, report_archive
from tests.report.conftest import contents_of

FEW = 50
FILES: dict[str, str | bytes] = {
    "shop/__init__.py": "",
    "shop/cart.py": "import json\n",
    "shop/unused.py": "pass\n",
    "shop/fast.cpython-311-x86_64-linux-gnu.so": b"\x7fELF",
    "libs/libz.so.1": b"\x7fELF",
    "shop/logo.bin": b"\0" * 10,
}


def test_files_are_code_or_data() -> None:
    report = report_archive(contents_of(FILES, variants=[]), ["for Python 3.11"])

    assert {
        "shop/__init__.py": "source",
        "shop/cart.py": "source",
        "shop/unused.py": "source",
        "shop/fast.cpython-311-x86_64-linux-gnu.so": "native",
        "libs/libz.so.1": "native",
        "shop/logo.bin": "data",
    } == {file.path: file.kind for file in report.files}
    assert ["for Python 3.11", "a store"] == report.about
    assert 4 == report.modules
    assert File("shop/logo.bin", "data", 10, 0) in report.files


def test_bytecode_counts_beside_its_source() -> None:
    files = {file.path: file for file in report_archive(contents_of(FILES)).files}

    assert files["shop/cart.py"].bytecode > 50
    assert 0 == files["shop/logo.bin"].bytecode


@pytest.fixture(name="_few")
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", FEW)


@pytest.mark.usefixtures("_few")
def test_small_files_are_summed_up_by_folder_if_there_are_many() -> None:
    many = {f"a/b{n % 2}/{n}.txt": b"1" for n in range(FEW + 10)}
    contents = contents_of({**many, "a/large.txt": b"1234", "a/changed.txt": b""})
    before = contents_of({**many, "a/large.txt": b"1234", "a/changed.txt": b"1"})

    files = report_archive(contents, comparison=compare(before, contents)).files

    assert {"a/large.txt", "a/changed.txt"} <= {file.path for file in files}
    assert FEW + 1 <= len(files) <= FEW + 2
    assert 12 == sum(file.number for file in files if file.number > 1)
    assert len(many) + 2 == sum(file.number for file in files)
    assert len(many) + 4 == sum(file.size for file in files)


@pytest.mark.usefixtures("_few")
def test_sums_go_further_up_where_there_are_as_many_folders() -> None:
    count = 2 * FEW + 5
    contents = contents_of({f"a/{n}/b.txt": b"12" for n in range(count)})

    files = report_archive(contents).files

    assert FEW + 1 == len(files)
    assert [("a", FEW + 5)] == [(f.path, f.number) for f in files if f.number > 1]
    assert 2 * count == sum(file.size for file in files)


class TestProfile:
    """What processes imported."""

    def test_times_of_a_module_are_medians_of_its_processes(self) -> None:
        contents = contents_of(FILES)

        def start(run: float, more: tuple[Module, ...] = ()) -> Start:
            cart = Module("shop.cart", "shop/cart.py", parent="shop.serve", run=run)
            serve = Module("shop.serve", at=0.1)
            cart = cart._replace(at=0.2, find=0.5, put=1.5, read=2.5, load=3.5)
            modules = (serve, cart, *more)
            return Start(contents.index.hash, seconds=run, modules=modules)

        json = Module("json", at=0.3, wait=7.0, failed=True, parent="gone")
        starts = [start(1.0), start(9.0, (json,)), start(2.0), Start("ab" * 32)]
        profile = report_archive(contents, (), starts).profile

        assert profile is not None
        assert (3, 2.0) == (profile.processes, profile.seconds)
        serve, cart, json_ = profile.imports
        assert ("shop.cart", "shop/cart.py", 0, 3) == cart[:4]
        assert (0.5, 1.5, 2.5, 3.5, 2.0, 0.0) == cart[6:]
        assert ("json", "", -1, 1, 0, 1) == json_[:6]
        assert -1 == serve.parent
        assert 7.0 == json_.waited

    def test_nobody_is_before_itself_where_processes_differ_in_order(self) -> None:
        contents = contents_of(FILES)
        one, two = (
            [Module(a, at=0.1), Module(b, at=0.2, parent=a), Module("c", parent=b)]
            for a, b in ("ab", "ba")
        )
        starts = [Start(contents.index.hash, modules=each) for each in (one, two)]
        profile = report_archive(contents, (), starts).profile

        assert profile is not None
        assert {"a", "b", "c"} == {each.name for each in profile.imports}
        for number, each in enumerate(profile.imports):
            assert each.parent < number

    def test_what_was_imported_or_read_is_used(self) -> None:
        contents = contents_of(FILES)
        start = Start(
            contents.index.hash,
            modules=[Module("shop.cart", "shop/cart.py")],
            reads=[
                Read(CODE, "shop/__init__.py", "ab" * 32),
                Read(FILE, "shop/logo.bin", "ab" * 32),
                Read(PACKAGE, "libs"),
            ],
            looked={"shop/logo.bin": "shop.cart"},
        )
        report = report_archive(contents, (), [start])

        used = {file.path for file in report.files if file.used}
        assert {"shop/__init__.py", "shop/cart.py", "shop/logo.bin"} == used
        assert report.profile is not None
        assert [("shop/logo.bin", "shop.cart")] == report.profile.looked

    def test_starts_of_other_archives_alone_are_refused(self) -> None:
        with pytest.raises(SettingsError, match=r"no start of archive .* of ababab"):
            report_archive(contents_of(FILES), (), [Start("ab" * 32)])
