"""SHA-256 is SHA-256, by whichever implementation."""

from __future__ import annotations

import hashlib
import mmap
import subprocess
import sys

import pytest

from lazyimport.format import sha256


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
        "from lazyimport.format import sha256\n"
        "small = {sha256(bytes(1000)) for _ in range(400)}\n"
        "print('_hashlib' in sys.modules)\n"
        "small |= {sha256(bytes(1000)) for _ in range(400)}\n"
        "print('_hashlib' in sys.modules, len(small))"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert child.stdout.split() == ["False", "True", "1"]


def test_none_comes_from_elsewhere_once_openssl_is_loaded() -> None:
    """As with ``LAZYIMPORT_DIGESTS=openssl``, before anything is hashed."""
    program = (
        "import lazyimport.format as digest\n"
        "from lazyimport.settings import Settings\n"
        "def builtin(data): raise AssertionError('not from OpenSSL')\n"
        "digest._builtin = builtin\n"
        "Settings.from_environ({'LAZYIMPORT_DIGESTS': 'openssl'})\n"
        "print(digest.sha256(b'').hex())"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert child.stdout.strip() == hashlib.sha256(b"").hexdigest()


def test_python_without_openssl_is_refused() -> None:
    program = (
        "import sys; sys.modules['_hashlib'] = None\n"
        "import hashlib\n"
        "from lazyimport.settings import Settings\n"
        "Settings.from_environ({'LAZYIMPORT_DIGESTS': 'openssl'})"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "built without it; set LAZYIMPORT_DIGESTS" in child.stderr


def test_loading_openssl_may_need_a_digest() -> None:
    """A folder of an archive in front of the standard library is looked at for it."""
    program = """if True:
        import sys
        from lazyimport.format import sha256
        class Finder:
            def find_spec(self, name, *_):
                sha256(name.encode())
        sys.meta_path.insert(0, Finder())
        for name in ("hashlib", "_hashlib"):
            sys.modules.pop(name, None)
        print(len(sha256(bytes(1 << 20))))
        """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("32\n", "")
