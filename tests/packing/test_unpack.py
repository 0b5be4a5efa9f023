"""Containers of other tools: what comes out, and what is refused before that."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lazyimport.errors import PackError
from lazyimport.packing.unpack import unpack
from tests.support.containers import Files, compress, make_container, make_tar, make_zip

FILES: Files = {
    "shop/__init__.py": "",
    "shop/prices.py": "price = 3\n",
    "data.bin": b"\0\1",
}
SUFFIXES = [".zip", ".whl", ".tar.gz", ".tgz", ".tar.zst"]


def unpacked(path: Path, **limits: int) -> dict[str, bytes]:
    """Return path to content of what *path* unpacks to; links are followed."""
    folder = path.parent / "scratch" / "tree"
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    name = path.name
    suffix = next(s for s in SUFFIXES if name.endswith(s))
    unpack(str(path), suffix, str(folder), what=name, **limits)
    assert os.listdir(folder.parent) == ["tree"]  # nothing beside it
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def refusal(path: Path, **limits: int) -> str:
    """Return the message; nothing may have been written outside of the folder."""
    with pytest.raises(PackError) as caught:
        unpacked(path, **limits)
    beside = set(os.listdir(path.parent)) - {path.name, "scratch"}
    assert not beside
    assert os.listdir(path.parent / "scratch") == ["tree"]
    return str(caught.value)


def row(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = target
    return made


def tar_of(
    path: Path, *rows: tarfile.TarInfo, content: dict[str, bytes] | None = None
) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as container:
        for one in rows:
            data = (content or {}).get(one.name, b"")
            one.size = len(data)
            container.addfile(one, io.BytesIO(data))
    path.write_bytes(compress(plain.getvalue(), path.name))
    return path


def zip_link(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_come_out(tmp_path: Path, suffix: str) -> None:
    path = make_container(FILES, tmp_path / f"app{suffix}")

    expected = {k: v.encode() if isinstance(v, str) else v for k, v in FILES.items()}
    assert unpacked(path) == expected


@pytest.mark.skipif(not shutil.which("zip"), reason="needs Info-ZIP")
def test_what_zip_makes(tmp_path: Path) -> None:
    """Entries for folders, the executable bit, symbolic links (-y)."""
    tree = tmp_path / "project"
    (tree / "pkg/empty").mkdir(parents=True)
    (tree / "pkg/tool.sh").write_text("#!/bin/sh\n")
    (tree / "pkg/tool.sh").chmod(0o755)
    (tree / "pkg/alias.sh").symlink_to("tool.sh")
    path = tmp_path / "box" / "app.zip"
    path.parent.mkdir()
    subprocess.run(["zip", "-qry", path, "."], cwd=tree, check=True)

    assert set(unpacked(path)) == {"pkg/tool.sh", "pkg/alias.sh"}
    out = path.parent / "scratch/tree/pkg"
    assert os.access(out / "tool.sh", os.X_OK)
    assert os.readlink(out / "alias.sh") == "tool.sh"
    assert (out / "empty").is_dir()


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.zst"])
@pytest.mark.skipif(not shutil.which("tar"), reason="needs tar")
def test_what_tar_makes(tmp_path: Path, suffix: str) -> None:
    """``tar -C tree .``: names that begin with ./, hard links, long names."""
    tree = tmp_path / "project"
    long = "x" * 130
    (tree / long).mkdir(parents=True)
    (tree / long / f"{long}.py").write_text("a = 1\n")
    os.link(tree / long / f"{long}.py", tree / "same.py")
    box = tmp_path / "box"
    box.mkdir()
    made = subprocess.run(
        ["tar", "-C", tree, "-cf", "-", "."], capture_output=True, check=True
    )
    path = box / f"app{suffix}"
    path.write_bytes(compress(made.stdout, path.name))

    assert unpacked(path) == {
        f"{long}/{long}.py": b"a = 1\n",
        "same.py": b"a = 1\n",
    }


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/cron.d/evil", "absolute"),
        ("C:/evil.py", "absolute"),
        ("../evil.py", "'..'"),
        ("pkg/../../evil.py", "'..'"),
        ("pkg\\evil.py", "backslash"),
        ("pkg/e\nvil.py", "control character"),
        ("a/" * 150 + "evil.py", "too long"),
        ("é" * 130, "too long"),
    ],
)
def test_bad_names(tmp_path: Path, suffix: str, name: str, why: str) -> None:
    path = make_container({"good.py": "", name: "x"}, tmp_path / f"app{suffix}")

    text = refusal(path)

    assert repr(name) in text
    assert why in text
    assert path.name in text


def test_a_zip_name_behind_a_nul(tmp_path: Path) -> None:
    """zipfile cuts names there, others do not."""
    path = make_zip({"goodXevil.py": ""}, tmp_path / "app.zip")
    path.write_bytes(path.read_bytes().replace(b"goodX", b"good\0"))

    assert "control character" in refusal(path)


def test_a_tar_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "app.tar.gz", row("caf\udce9.py"))

    assert "not UTF-8" in refusal(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("a.py", "a.py", "has a file of this path"),
        ("a.py", "./a.py", "has a file of this path"),
        ("a", "a/b.py", "'a' above it is a file"),
        ("a/b.py", "a", "'a' above it is a file"),
        ("a.py", "A.py", "differs only in case"),
        ("Pkg/a.py", "pkg/b.py", "differs only in case"),
        ("e\u0301.py", "\u00e9.py", "form of accents"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_members_for_one_place(
    tmp_path: Path, suffix: str, first: str, second: str, why: str
) -> None:
    path = tmp_path / f"app{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as container:
            container.writestr(first, "1")
            container.writestr(second, "2")
    else:
        tar_of(path, row(first), row(second))

    assert why in refusal(path)


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../secret", "pkg/../../secret", "nowhere.py", "self.py", ""],
)
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_links_out_of_the_tree(tmp_path: Path, suffix: str, target: str) -> None:
    """Those that lead nowhere, or to themselves, as well."""
    path = tmp_path / f"app{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as container:
            container.writestr("pkg/a.py", "")
            container.writestr(*zip_link("self.py", target))
    else:
        tar_of(path, row("pkg/a.py"), row("self.py", tarfile.SYMTYPE, target))

    text = refusal(path)

    assert "'self.py'" in text
    assert "link to" in text


def test_links_that_lead_out_together(tmp_path: Path) -> None:
    """Each alone stays in the tree, by its text."""
    path = tar_of(
        tmp_path / "app.tar.gz",
        row("a/b/c.py"),
        row("up", tarfile.SYMTYPE, "a/b"),
        row("out", tarfile.SYMTYPE, "up/../../.."),
    )

    assert "'out'" in refusal(path)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    path = tar_of(
        tmp_path / "app.tar.gz",
        row("pkg", tarfile.SYMTYPE, "../.."),
        row("pkg/evil.py"),
    )

    assert "'pkg' above it is a link" in refusal(path)


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../x", "later.py"], ids=["absolute", "up", "later"]
)
def test_hard_links_to_what_is_no_member(tmp_path: Path, target: str) -> None:
    path = tar_of(
        tmp_path / "app.tar.gz",
        row("hard.py", tarfile.LNKTYPE, target),
        row("later.py"),
    )

    assert "refused" in refusal(path)


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=str
)
def test_devices_and_pipes(tmp_path: Path, kind: bytes) -> None:
    path = tar_of(tmp_path / "app.tar.gz", row("dev/null", kind))

    text = refusal(path)

    assert "'dev/null'" in text
    assert "neither file, folder nor link" in text


def test_a_pipe_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("pipe")
    info.external_attr = (stat.S_IFIFO | 0o644) << 16
    path = tmp_path / "app.zip"
    with zipfile.ZipFile(path, "w") as container:
        container.writestr(info, "")

    assert "neither file, folder nor link" in refusal(path)


def test_encrypted(tmp_path: Path) -> None:
    """By the bit in the directory; zipfile cannot write such a member itself."""
    path = make_zip({"secret.py": "x = 1\n"}, tmp_path / "app.zip", zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)

    text = refusal(path)

    assert "'secret.py'" in text
    assert "encrypted" in text


def test_a_compression_that_nobody_knows(tmp_path: Path) -> None:
    path = make_zip({"odd.py": "x = 1\n"}, tmp_path / "app.zip", zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + at] = 97
    path.write_bytes(data)

    assert "'odd.py'" in refusal(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.zst"])
def test_a_bomb_is_refused_by_name_before_it_is_written(
    tmp_path: Path, suffix: str
) -> None:
    path = make_container(
        {"good.py": "", "bomb.bin": bytes(3_000_000)}, tmp_path / f"app{suffix}"
    )
    assert path.stat().st_size < 50_000

    text = refusal(path, max_bytes=1_000_000)

    assert "'bomb.bin'" in text
    assert "1,000,000" in text
    assert not os.listdir(tmp_path / "scratch/tree")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_many_that_are_too_much_together(tmp_path: Path, suffix: str) -> None:
    files = {f"{n}.bin": bytes(1000) for n in range(10)}
    path = make_container(files, tmp_path / f"app{suffix}")

    assert "'5.bin'" in refusal(path, max_bytes=5500)


def test_a_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    """What comes out is counted, whatever the directory declares."""
    path = make_zip({"liar.bin": bytes(100_000)}, tmp_path / "app.zip")
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 10)
    path.write_bytes(data)

    assert "'liar.bin'" in refusal(path, max_bytes=1000)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_too_many_members(tmp_path: Path, suffix: str) -> None:
    path = make_container({f"{n}.py": "" for n in range(40)}, tmp_path / f"app{suffix}")

    assert "more than 30 members" in refusal(path, max_files=30)
    assert len(unpacked(path, max_files=40)) == 40


def test_folders_that_no_member_names_count(tmp_path: Path) -> None:
    files = {f"{n}/{n}/{n}/x.py": "" for n in range(20)}
    path = make_zip(files, tmp_path / "app.zip")

    assert "more than 30 members" in refusal(path, max_files=30)


def test_a_zip_directory_too_large_to_be_read(tmp_path: Path) -> None:
    """zipfile would read it into memory first."""
    path = make_zip({f"{n:0200}.py": "" for n in range(600)}, tmp_path / "app.zip")

    text = refusal(path, max_files=30)

    assert "more than 30 members" in text
    assert "its member" not in text


def test_a_zip_directory_whose_end_is_hidden(tmp_path: Path) -> None:
    """zipfile finds it where another search stops at a mark inside of it."""
    path = make_zip({f"{n:0200}.py": "" for n in range(600)}, tmp_path / "app.zip")
    data = bytearray(path.read_bytes())
    data[-14:-10] = b"PK\x05\x06"  # in place of the numbers of rows, which nobody reads
    path.write_bytes(data)

    text = refusal(path, max_files=30)

    assert "more than 30 members" in text
    assert "its member" not in text


@pytest.mark.parametrize("said", [40, 0xFFFFFFFF])
def test_a_zip_directory_whose_size_is_told_twice(tmp_path: Path, said: int) -> None:
    """The larger zip64 record counts for zipfile; Go writes that and all ones."""
    path = make_zip({f"{n:0200}.py": "" for n in range(600)}, tmp_path / "app.zip")
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06")
    size, start = struct.unpack_from("<LL", data, at + 12)
    record = struct.pack(
        "<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 600, 600, size, start
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 600, 600, said, start, 0)
    path.write_bytes(data[:at] + record + locator + end)

    text = refusal(path, max_files=30)

    assert "more than 30 members" in text
    assert "its member" not in text


def test_a_bomb_of_hard_links(tmp_path: Path) -> None:
    """To packing each is a file of its own, whatever it takes on the disk."""
    path = tar_of(
        tmp_path / "app.tar.gz",
        row("a.bin"),
        *(row(f"b{n}.bin", tarfile.LNKTYPE, "a.bin") for n in range(9)),
        content={"a.bin": bytes(100_000)},
    )

    assert "'b5.bin'" in refusal(path, max_bytes=600_000)
    assert not os.listdir(tmp_path / "scratch/tree")
    assert len(unpacked(path, max_bytes=1_000_000)) == 10


def links_to_links(path: Path, content: bytes = b"") -> Path:
    """Return a tarball of 30 links that lead to 1,000 files."""
    rows = [row("p0/a.bin")]
    for level in range(3):
        for n in range(10):
            link = row(f"p{level + 1}/{n}", tarfile.SYMTYPE, f"../p{level}")
            rows.append(link)
    return tar_of(path, *rows, content={"p0/a.bin": content})


def test_a_bomb_of_links_to_folders(tmp_path: Path) -> None:
    path = links_to_links(tmp_path / "app.tar.gz", bytes(1000))

    assert "more than 1,000 members" in refusal(path, max_files=1000)
    assert "unpacks to" in refusal(path, max_bytes=1_000_000)
    unpacked(path, max_files=10_000, max_bytes=2_000_000)


def test_links_to_the_folder_they_lie_in(tmp_path: Path) -> None:
    """Unpacking them ends; packing refuses them by name."""
    one = row("pkg/loop", tarfile.SYMTYPE, ".")
    unpacked(tar_of(tmp_path / "app.tar.gz", row("pkg/a.py"), one))
    two = row("pkg/again", tarfile.SYMTYPE, ".")
    path = tar_of(tmp_path / "app.tar.gz", row("pkg/a.py"), one, two)

    assert "more than 1,000 members" in refusal(path, max_files=1000)


def test_a_tar_header_too_large_to_be_read(tmp_path: Path) -> None:
    """tarfile would read a name of gigabytes into memory, on the word of a header."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as container:
        one = row("a.py")
        one.pax_headers = {"comment": "x" * 3_000_000}
        container.addfile(one)
    path = tmp_path / "app.tar.gz"
    path.write_bytes(gzip.compress(plain.getvalue()))

    assert "a header has more than" in refusal(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_container_at_all(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"app{suffix}"
    for content in (b"", b"<html>404</html>" * 100, bytes(2000)):
        path.write_bytes(content)
        assert path.name in refusal(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_anywhere_it_is_refused(tmp_path: Path, suffix: str) -> None:
    files = {f"m{n}.py": os.urandom(300) for n in range(5)}
    path = make_container(files, tmp_path / f"app{suffix}")
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        assert path.name in refusal(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.zst"])
def test_damage_gives_a_clean_error_or_the_right_files(
    tmp_path: Path, suffix: str
) -> None:
    """Whatever zipfile and tarfile raise for it."""
    chance = random.Random(20260714)
    path = make_container(FILES, tmp_path / f"app{suffix}")
    whole = path.read_bytes()
    clean = refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            unpacked(path)
            clean += 1
        except PackError:
            refused += 1
    assert refused > clean // 4


def test_without_zstd_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_tar(FILES, tmp_path / "app.tar.zst")
    for name in ("compression", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)

    assert "pip install zstandard" in refusal(path)
