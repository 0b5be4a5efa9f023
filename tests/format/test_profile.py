"""The file of a profile: what is written is read again, and nothing else is."""

from __future__ import annotations

import json

import pytest

from lazyimport.errors import SettingsError
from lazyimport.format.profile import CODE, PACKAGE, Module, Read, Start, decode, encode

START = Start(
    "ab" * 32,
    python="3.11",
    host="node-1",
    pid=17,
    started=1764412345.25,
    seconds=1.5,
    reads=[Read(CODE, "shop/cart.py", "cd" * 32, 0.25, 0.001, 812), Read(PACKAGE, "ü")],
    modules=[
        Module("shop.cart", "shop/cart.py", "/c/shop/cart.py", "shop", 1, 0.2, run=0.5),
        Module("gone", parent="shop.cart", failed=True),
    ],
    looked={"shop/a.txt": "shop.cart"},
)


def test_what_is_written_is_read_again() -> None:
    assert decode(encode([START, Start("cd" * 32)])) == [
        START,
        Start("cd" * 32, reads=[], modules=[], looked={}),
    ]


def test_a_field_of_a_later_lazyimport_is_ignored() -> None:
    document = json.loads(encode([START]))
    document["starts"][0]["modules"][0]["color"] = "green"
    document["starts"][0]["color"] = "green"

    assert decode(json.dumps(document).encode()) == [START]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "\xff",
        '{"lazyimport_profile": 2, "starts": []}',
        '{"lazyimport_profile": 1}',
        '{"lazyimport_profile": 1, "starts": {"hash": ""}}',
        '{"lazyimport_profile": 1, "starts": [{}]}',
        '{"lazyimport_profile": 1, "starts": [{"hash": 1}]}',
        '{"lazyimport_profile": 1, "starts": [{"hash": "", "pid": true}]}',
        '{"lazyimport_profile": 1, "starts": [{"hash": "", "reads": [["code"]]}]}',
        '{"lazyimport_profile": 1, "starts": [{"hash": "", "looked": {"a": 1}}]}',
        '{"lazyimport_profile": 1, "starts": [{"hash": "", "modules": [{"name": 1}]}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_profile_says_how_to_record_one(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^start\.json is no profile.*--profile"):
        decode(text.encode("latin-1"), "start.json")
