"""Laws of the canonical form, for constants of any shape."""

from __future__ import annotations

import contextlib
import marshal

from hypothesis import HealthCheck, given, settings, strategies as st

from lazyimport.packing.marshalling import canonical
from tests.packing.test_marshalling import SAMPLES, compiled, equal, unflagged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

constants = st.recursive(
    st.none()
    | st.booleans()
    | st.just(...)
    | st.integers()
    | st.integers(-(2**100), 2**100)
    | st.floats()
    | st.complex_numbers()
    | st.binary(max_size=300)
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["name", "two words", "x" * 300, "-", "é"]),
    lambda inner: (
        st.lists(inner, max_size=5).map(tuple)
        | st.lists(inner, max_size=5).map(frozenset)
    ),
    max_leaves=20,
)


class TestLaws:
    """The same, for constants of any shape."""

    @given(constants)
    def test_the_value_stays(self, constant: Any) -> None:
        form = canonical(marshal.dumps(constant))
        assert equal(marshal.loads(form), constant)
        assert canonical(form) == form

    def test_nan_is_in_a_set_as_often_as_before(self) -> None:
        """It is not equal to itself."""
        first, second = float("nan"), float("nan")
        inner = [(first, None, "x"), (second, None, "x")]
        twice: Any = frozenset([first, second, *inner]), frozenset([second, *inner])

        loaded = marshal.loads(canonical(marshal.dumps(twice)))

        assert [len(each) for each in loaded] == [4, 3]

    @given(constants)
    def test_sharing_does_not_show(self, constant: Any) -> None:
        shared = marshal.dumps((constant, constant))
        copy = marshal.loads(marshal.dumps(constant))
        assert canonical(marshal.dumps((constant, copy))) == canonical(shared)

    @given(st.sets(st.text(max_size=3) | st.integers(0, 50) | st.none(), max_size=30))
    def test_the_order_of_a_set_does_not_show(
        self, elements: set[str | int | None]
    ) -> None:
        """In whatever order an interpreter's hash lays it out."""
        parts = [unflagged(marshal.dumps(element)) for element in elements]
        head = b">" + len(parts).to_bytes(4, "little")
        forms = {canonical(head + b"".join(p)) for p in (parts, parts[::-1])}
        assert forms == {canonical(marshal.dumps(frozenset(elements)))}

    @given(st.data())
    @settings(suppress_health_check=[HealthCheck.too_slow])
    def test_damage_is_refused_or_harmless(self, data: st.DataObject) -> None:
        stream = bytearray(marshal.dumps(compiled(SAMPLES["function"])))
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(stream) - 1))
            stream[place] = data.draw(st.integers(0, 255))
        with contextlib.suppress(ValueError):
            assert canonical(canonical(bytes(stream))) == canonical(bytes(stream))

    @given(st.binary(max_size=60))
    def test_noise_is_refused_or_harmless(self, noise: bytes) -> None:
        with contextlib.suppress(ValueError):
            canonical(noise)
