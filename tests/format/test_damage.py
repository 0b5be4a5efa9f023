"""docs/format.md, section 11: whatever the bytes, content or a clean error."""

from __future__ import annotations

import pytest

from lazyimport.format.archive import Archive
from tests.support.read_everything import CLEAN, read_delta, read_everything
from tests.support.trees import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from tests.support.read_everything import Everything
    from tests.support.trees import Files

    #: the bytes, how to read them, what they hold
    Case: TypeAlias = tuple[bytes, Callable[[bytes], Everything], Everything]

OLD: Files = {"pkg/__init__.py": "x = 1\n", "gone.txt": "gone", "data.bin": b"same"}
NEW: Files = {
    "pkg/__init__.py": "x = 2\n",
    "new.txt": "word " * 30,
    "data.bin": b"same",
}
NOTES = b'{"requires_python": ">=3.10"}'


@pytest.fixture(name="case", params=["raw", "zstd", "delta"], scope="module")
def _case(request: pytest.FixtureRequest) -> Case:
    new = Tree(NEW, compiler=lambda source, variant: source + variant.magic)
    data, name = new.archive(raw=request.param != "zstd", notes=NOTES)
    whole = read_everything(data, name)
    if request.param != "delta":
        return data, lambda data: read_everything(data, name), whole
    base = Tree(OLD).archive()
    made = new.delta(Archive(*base).index, notes=NOTES)
    assert made is not None
    return made[0], lambda data: read_delta(data, name, base), whole


def test_cut_at_every_byte(case: Case) -> None:
    data, read, _ = case
    for size in range(len(data)):
        with pytest.raises(CLEAN):
            read(data[:size])


def test_something_in_front_or_behind(case: Case) -> None:
    data, read, whole = case
    assert read(data) == whole
    for other in (b"\0" + data, data[1:], data + b"\0", data + data):
        with pytest.raises(CLEAN):
            read(other)


def test_every_bit(case: Case) -> None:
    data, read, whole = case
    flipped = (
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    )
    check(flipped, read, whole)


@pytest.mark.parametrize("value", [0, 0xFF])
def test_every_four_bytes_overwritten(case: Case, value: int) -> None:
    data, read, whole = case
    changed = (
        data[:at] + bytes([value]) * 4 + data[at + 4 :] for at in range(len(data) - 3)
    )
    check(changed, read, whole)


def test_every_two_neighbors_exchanged(case: Case) -> None:
    data, read, whole = case
    changed = (
        data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :]
        for at in range(len(data) - 1)
    )
    check(changed, read, whole)


def check(
    spoilt: Iterable[bytes], read: Callable[[bytes], Everything], whole: Everything
) -> None:
    """Reading each gives the whole, or a clean error that a person can use."""
    errors = []
    for data in spoilt:
        try:
            found = read(data)
        except CLEAN as error:
            errors.append(str(error))
        else:
            assert found == whole
    assert errors
    assert all(errors)
