"""Reading profiles: lines of any number of starts, also of those that were killed."""

from __future__ import annotations

import pytest

from lazyimport.errors import SettingsError
from lazyimport.format.profile import CODE, PACKAGE, Module, Read, Start, decode

HEAD = b'{"lazyimport_profile":1,"hash":"%s","pid":17,"started":1764412345.25}\n'
LINES = b"""\
{"read":"code","path":"shop/cart.py","digest":"cd","at":0.25,"seconds":0.001,"size":812}
{"looked":"shop/a.txt","by":"shop.cart"}
{"module":"gone","parent":"shop.cart","at":0.3,"failed":true}

{"module":"shop.cart","path":"shop/cart.py","thread":1,"at":0.2,"read":0.1,"total":1.3}
{"read":"package","at":0.2}
"""
START = Start(
    "ab" * 32,
    pid=17,
    started=1764412345.25,
    seconds=1.5,
    reads=[
        Read(PACKAGE, "", at=0.2),
        Read(CODE, "shop/cart.py", "cd", 0.25, 0.001, 812),
    ],
    modules=[
        Module("shop.cart", "shop/cart.py", thread=1, at=0.2, read=0.1, total=1.3),
        Module("gone", parent="shop.cart", at=0.3, failed=True),
    ],
    looked={"shop/a.txt": "shop.cart"},
)
FIRST = HEAD % (b"ab" * 32)


def test_lines_in_order_of_time() -> None:
    assert decode(FIRST + LINES) == [START]


def test_profiles_are_merged_by_putting_one_behind_the_other() -> None:
    starts = decode(FIRST + LINES + HEAD % b"cd" + FIRST)

    assert starts[0] == START
    assert [(start.hash, len(start.reads)) for start in starts[1:]] == [
        ("cd", 0),
        ("ab" * 32, 0),
    ]


def test_what_a_later_lazyimport_writes_is_ignored() -> None:
    later = LINES.replace(b"{", b'{"color":"green",') + b'{"weather":"fine"}\n'

    assert decode(FIRST + later) == [START]


def test_more_than_was_recorded() -> None:
    (start,) = decode(FIRST + LINES + b'{"complete":false}\n')

    assert start == START._replace(complete=False)


@pytest.mark.parametrize("size", range(1, 40))
def test_a_line_that_was_cut(size: int) -> None:
    """The first of two processes was killed while it wrote."""
    cut = FIRST + LINES + LINES[:size]

    assert decode(cut) == [START]
    assert decode(cut + b"\n" + FIRST) == [START, *decode(FIRST)]
    with pytest.raises(SettingsError, match="line 8 cannot be read"):
        decode(cut + b"\n" + LINES)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"\x00" * 100,
        b'{"lazyimport_profile":2,"hash":""}',
        b'{"lazyimport_profile":1}',
        b'{"lazyimport_profile":1,"hash":1}',
        b'{"lazyimport_profile":1,"hash":"","pid":true}',
        FIRST + b'{"read":1}',
        FIRST + b'{"read":"code","at":-1}',
        FIRST + b'{"read":"code","at":NaN}',
        FIRST + b'{"module":"a","total":"1"}',
        FIRST + b'{"module":"a","failed":1}',
        FIRST + b'{"looked":"a"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_profile_says_how_to_record_one(text: bytes) -> None:
    with pytest.raises(SettingsError, match=r"^start\.jsonl is no profile.*--profile"):
        decode(text, "start.jsonl")
