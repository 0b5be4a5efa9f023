"""zstd, by whichever library this Python has."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import pytest

from lazyimport.errors import DamagedArchive
from lazyimport.format.codec import MAX_RATIO, compress, compress_all, decompress
from tests.support.forge import zstd_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 128 << 10


class TestRoundTrip:
    """`decompress` is the reverse of `compress`, within a known size."""

    @pytest.mark.parametrize("size", [60, 1000, BLOCK, 3 * BLOCK + 1, 5 << 20])
    def test_smaller(self, size: int) -> None:
        data = (b"0123456789" * (size // 10 + 1))[:size]
        for given in (data, memoryview(data)):
            frame = compress(given)
            assert len(frame) < size
            assert decompress(frame, size) == data
            assert decompress(memoryview(frame), size) == data

    @pytest.mark.parametrize("size", [0, 1, 10, 5000])
    def test_not_smaller_is_left_alone(self, size: int) -> None:
        data = os.urandom(size)
        assert compress(data) is data

    def test_many_keep_their_order(self) -> None:
        members = [b"%d" % number * (number % 300) for number in range(3000)]
        members[77] = b"large " * 200_000
        frames = list(compress_all(iter(members)))
        assert frames == [compress(member) for member in members]
        assert list(compress_all([])) == []

    def test_many_read_ahead_is_bounded(self) -> None:
        """An archive may be larger than memory; members are read as they are needed."""
        taken = 0

        def members() -> Iterator[bytes]:
            nonlocal taken
            for _ in range(200):
                taken += 1
                yield bytes(1 << 18)

        frames = compress_all(members())
        next(frames)
        assert taken < 10
        frames.close()  # type: ignore[attr-defined]


class TestBombs:
    """Bound decompression by the size in the row."""

    @pytest.mark.parametrize(
        "frame",
        [
            zstd_frame(1000, [BLOCK] * 32768),
            zstd_frame(1 << 32, [BLOCK] * 32768),
            zstd_frame(None, [BLOCK] * 32768),
            zstd_frame(1 << 60, [1000]),
        ],
        ids=["lies", "4 GiB", "declares nothing", "declares an exabyte"],
    )
    @pytest.mark.parametrize("size", [1000, 200_000])
    def test_cost_no_memory(self, frame: bytes, size: int) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(DamagedArchive):
                decompress(frame, size)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()

    def test_a_size_no_frame_of_this_length_can_have(self) -> None:
        frame = zstd_frame(1 << 40, [1000])
        tracemalloc.start()
        try:
            with pytest.raises(DamagedArchive, match="cannot give"):
                decompress(frame, 1 << 40)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()

    def test_the_best_that_a_frame_can_do(self) -> None:
        """The bound on the ratio does not refuse what is possible."""
        blocks = [BLOCK] * 256
        frame = zstd_frame(256 * BLOCK, blocks)
        assert len(frame) * MAX_RATIO > 256 * BLOCK > (len(frame) - 18) * MAX_RATIO // 2
        assert decompress(frame, 256 * BLOCK) == bytes(256 * BLOCK)


class TestLibraries:
    """compression.zstd if the build has it, else zstandard, else a clear error."""

    def run(self, hidden: list[str], program: str) -> str:
        block = f"import sys; sys.modules.update(dict.fromkeys({hidden!r}))\n"
        child = subprocess.run(
            [sys.executable, "-c", block + program],
            capture_output=True,
            text=True,
            check=True,
        )
        return child.stdout.strip()

    def test_neither(self) -> None:
        said = self.run(
            ["compression", "compression.zstd", "zstandard"],
            "from lazyimport.errors import UnsupportedArchive\n"
            "from lazyimport.format.codec import compress, decompress\n"
            "for call in (lambda: compress(b'x'), lambda: decompress(b'x', 2)):\n"
            "    try: call()\n"
            "    except UnsupportedArchive as error: print(error)\n",
        )
        lines = said.splitlines()
        assert len(lines) == 2
        for line in lines:
            assert "pip install zstandard" in line
            assert "3.14" in line

    def test_a_build_without_its_own(self) -> None:
        pytest.importorskip("zstandard")
        said = self.run(
            ["compression", "compression.zstd"],
            "from lazyimport.format.codec import compress, decompress\n"
            "frame = compress(b'x' * 1000)\n"
            "print(len(frame) < 100, decompress(frame, 1000) == b'x' * 1000)\n"
            "import zstandard\n"
            "print(zstandard.decompress(frame) == b'x' * 1000)",
        )
        assert said.split() == ["True"] * 3

    def test_the_package_around_the_extension_is_not_loaded(self) -> None:
        """It would be half of what a fetcher of a small archive does."""
        pytest.importorskip("zstandard")
        said = self.run(
            ["compression", "compression.zstd"],
            "before = set(sys.modules)\n"
            "from lazyimport.format.codec import compress, decompress\n"
            "decompress(compress(b'x' * 1000), 1000)\n"
            "print({'re', 'typing', 'zstandard', 'zstandard.backend_c'}\n"
            "      & (set(sys.modules) - before))",
        )
        assert said == "set()"

    @pytest.mark.parametrize("first", [False, True], ids=["first", "later"])
    def test_the_program_has_the_package_as_it_is(self, first: bool) -> None:
        """What it raises is what the program can catch, whoever loaded it first."""
        pytest.importorskip("zstandard")
        ours = (
            "from lazyimport.format.codec import compress, decompress\n"
            "assert decompress(compress(b'x' * 1000), 1000) == b'x' * 1000\n"
            "from lazyimport.errors import DamagedArchive\n"
            "try: decompress(b'no frame', 1000)\n"
            "except DamagedArchive: print('damaged')\n"
        )
        program = (
            "import zstandard\n"
            "try: zstandard.decompress(b'no frame')\n"
            "except zstandard.ZstdError: print('caught')\n"
            "print(sys.modules['zstandard.backend_c'].ZstdError is zstandard.ZstdError)"
        )
        parts = [program, ours, program] if first else [ours, program, ours]
        said = self.run(["compression", "compression.zstd"], "\n".join(parts))
        caught = ["caught", "True"]
        expected = [*caught, "damaged", *caught] if first else ["damaged", *caught]
        assert said.split() == expected + ([] if first else ["damaged"])

    def test_the_two_understand_each_other(self) -> None:
        own = pytest.importorskip("compression.zstd")
        other = pytest.importorskip("zstandard")
        data = b"same " * 1000
        assert own.decompress(other.compress(data)) == data
        assert other.decompress(own.compress(data)) == data

    def test_neither_is_loaded_to_import_the_module(self) -> None:
        said = self.run(
            [],
            "import lazyimport.format.codec\n"
            "print([name for name in ('zstandard', 'compression', 'concurrent')"
            " if name in sys.modules])",
        )
        assert said == "[]"
