"""Pieces: how much of an object one request brings."""

from __future__ import annotations

from lazyimport.delivery.pieces import piece_size

MIB = 1 << 20


def test_requests_become_smaller_towards_the_end_of_all_that_comes() -> None:
    """At the end of one object, others follow over the same connections."""
    alone, not_alone = piece_size(8), piece_size(8, 128 * MIB)
    assert [alone(left * MIB) // MIB for left in (1024, 128, 8)] == [16, 8, 4]
    assert [not_alone(left * MIB) // MIB for left in (1024, 128, 8)] == [16, 16, 8]
