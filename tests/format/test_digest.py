"""SHA-256 is SHA-256, by whichever implementation."""

from __future__ import annotations

import hashlib
import mmap
import subprocess
import sys

import pytest

from lazyimport.format.digest import sha256


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000, 1 << 20])
def test_is_what_hashlib_says(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    expected = hashlib.sha256(data)
    assert sha256(data) == sha256(memoryview(data)) == expected.digest()
    assert sha256(data).hex() == expected.hexdigest()


def test_a_memory_map() -> None:
    with mmap.mmap(-1, 5000) as mapped:
        assert sha256(mapped) == hashlib.sha256(bytes(5000)).digest()


def test_openssl_is_loaded_when_it_pays_and_not_before() -> None:
    program = (
        "import sys\n"
        "from lazyimport.format.digest import sha256\n"
        "small = {sha256(bytes(1000)) for _ in range(400)}\n"
        "print('_hashlib' in sys.modules)\n"
        "small |= {sha256(bytes(1000)) for _ in range(400)}\n"
        "print('_hashlib' in sys.modules, len(small))"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert child.stdout.split() == ["False", "True", "1"]
