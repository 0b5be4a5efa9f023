"""docs/format.md, sections 2 and 3: what a start reads."""

from __future__ import annotations

import io

import pytest

from lazyimport.format.archive import Archive
from lazyimport.format.beginning import read_beginning
from lazyimport.format.overlay import write_overlay
from lazyimport.format.sections import HEADER_SIZE
from tests.format.test_overlay import revision
from tests.support.forge import reheaded
from tests.support.trees import Tree

FILES = {f"pkg/m{number}.py": f"x = {number}\n" for number in range(40)}
CHANGED = {**FILES, "pkg/m7.py": "changed = True\n"}


def test_says_for_which_pythons_an_archive_is() -> None:
    data, name = Tree(FILES, minors=1 << 11 | 1 << 13).archive()

    assert read_beginning(data, name) == (1 << 11 | 1 << 13, None)


def test_any_other_byte_in_header_and_root_is_noticed() -> None:
    data, name = Tree(FILES).archive()
    root_size = Archive(data, name).header.root_size
    assert read_beginning(data, name) is not None

    for at in range(HEADER_SIZE + root_size):
        for bit in (1, 2, 128):
            other = bytearray(data)
            other[at] ^= bit
            assert read_beginning(bytes(other), name) is None, at


@pytest.mark.parametrize("size", [0, 1, 80, HEADER_SIZE - 1, HEADER_SIZE, 300, -1])
def test_what_is_cut_short_or_too_long(size: int) -> None:
    data, name = Tree(FILES).archive()

    assert read_beginning(data[:size], name) is None
    assert read_beginning(data + b"\0", name) is None


def test_another_archive() -> None:
    data, _ = Tree(FILES).archive()

    assert read_beginning(data, "00" * 32) is None


@pytest.mark.parametrize("fields", [{"version": 2}, {"flags": 8}, {"flags": 1}])
def test_a_header_that_is_not_to_be_read(fields: dict[str, int]) -> None:
    data, name = Tree(FILES).archive()

    assert read_beginning(reheaded(data, **fields), name) is None


def test_names_the_base_of_an_overlay() -> None:
    """And refuses a delta, which is of no use in a cache."""
    base = Archive(*Tree(FILES).archive(), sealed=True)
    target = Tree(CHANGED)
    delta, name = target.delta(base.index) or (b"", "")
    out = io.BytesIO()
    write_overlay(out, revision(target, base), raw=True)

    beginning = read_beginning(out.getvalue(), name)
    assert beginning is not None
    assert beginning[1] == base.hash
    assert read_beginning(delta, name) is None
