"""Setting a hash changes no other byte of a manifest."""

from __future__ import annotations

import pytest

pytest.importorskip("ruamel.yaml")

from hypothesis import given, settings, strategies as st

from tests.deploy.test_manifest import A, B, deployed, service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COMMENTS = st.sampled_from(["", "# c", "#- x: {", "\n", "  # ü 🚀"])

NAMES = st.sampled_from(["LOG", "A_B", '"Q"', "'S'"])
VALUES = st.sampled_from(
    ["1", '"x: y"', "'#'", "|\n" + 40 * " " + "t\n" + 40 * " " + "u", "plain text"]
)


@st.composite
def manifests(draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    """Serve configs as people write them; {hash} stands where it will be."""
    pad = draw(st.sampled_from(["", "  "]))
    step = draw(st.sampled_from([2, 3, 4]))
    quote = draw(st.sampled_from(["", "'", '"']))
    out = ["applications:"]
    count = draw(st.integers(1, 3))
    for number in range(count):
        key = f"{pad}  "
        out.append(f"{pad}- name: app{number} {draw(COMMENTS)}".rstrip("\n"))
        out.append(f"{key}import_path: a.b:c")
        out.append(f"{key}runtime_env: {draw(st.sampled_from(['', '# env']))}")
        out.append(f"{key}{' ' * step}env_vars:")
        variables = draw(
            st.lists(st.tuples(NAMES, VALUES), max_size=3, unique_by=lambda p: p[0])
        )
        where = draw(st.integers(0, len(variables)))
        deep = key + " " * (2 * step)
        texts = [f"{deep}{name}: {value}" for name, value in variables]
        hash = "{hash}" if number == 0 else "c3" * 32
        texts.insert(
            where, f"{deep}LAZYIMPORT_HASH: {quote}{hash}{quote} {draw(COMMENTS)}"
        )
        out += [text.rstrip("\n") for text in texts]
    text = "\n".join(out) + draw(st.sampled_from(["\n", "", "\n\n# end\n"]))
    if draw(st.booleans()):
        text = service(
            text if text.endswith("\n") else text + "\n", draw(st.integers(3, 8))
        )
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return str(text.replace("\n", newline))


@settings(max_examples=40, deadline=None)
@given(manifests())
def test_everything_else_is_the_same_to_the_byte(text: str) -> None:
    before = text.replace("{hash}", A)

    assert text.replace("{hash}", B) == deployed(before, B, "app0")
