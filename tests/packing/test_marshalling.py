"""The canonical form of marshalled code: a function of the value, and of it alone."""

from __future__ import annotations

import marshal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lazyimport.packing import marshalling
from lazyimport.packing.interpreters import Interpreter
from lazyimport.packing.marshalling import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

#: shapes of code that marshal writes in different ways
SAMPLES = {
    "empty": "",
    "docstring": '"""Text, not a name."""\n',
    "names": "import os.path as p\nfrom a.b import c, d as e\n",
    "function": "def f(a, /, b, *c, d=1, **e):\n    g = a\n    return lambda: (g, b)\n",
    "class": "class A:\n    x: int = 1\n    def m(self):\n        return super().m()\n",
    "generators": "async def f():\n    yield [x async for x in y]\ng = (x for x in f())\n",
    "nested generator": "def f():\n  def g():\n    yield 1\n  return g\n",
    "numbers": "a = 0, -1, 5, 2**31, -2**31, 2**31 - 1, 2**70, -2**70, 1.5, -0.0, 2j, 1e999\n",
    "strings": "a = 'x', 'name', 'two words', 'é', 'ŝ', '\\ud800', '', 'n' * 300, '-'\n",
    "long string": f"a = {'y' * 300!r}, {'é' * 300!r}, {'y ' * 300!r}\n",
    "bytes": "a = b'', b'x', b'name', b'\\xff\\0'\n",
    "repeated": "a = 'two words', 1.5, 2**70\nb = 'two words', 1.5, 2**70\n",
    "tuples": "a = ((), (1,), (1, (2, (3, 'x'))))\nb = (1, (2, (3, 'x')))\n",
    "long tuple": f"a = {tuple(range(300))}\n",
    "sets": "a = x in {None, 'a', 1, 2.5, b'a', (1, 'a'), ...}\nb = x in {'a', 'b', 'c'}\n",
    "slices": "a = b[1:2], b[1:2:3], b[:], b['x':'y']\n",
    "ellipsis": "a = ..., True, False, None\n",
    "lambdas": "a = (lambda: 0), (lambda: 0), lambda: 0\n",
    "deep": "a = " + "lambda: " * 90 + "1\n",
    "finally": "try:\n    f()\nfinally:\n    g = lambda: (1, 'two words')\n",
    "identifiers": "é = 1\nclass Ŝ:\n    é = 'é', 'Ŝ'\n    def f(é): return é\n",
    "many lines": "a = 1\n" * 2000,
}


def compiled(source: str | bytes) -> types.CodeType:
    return compile(source, "<x>", "exec", dont_inherit=True)


def unflagged(stream: bytes) -> bytes:
    return bytes([stream[0] & 0x7F]) + stream[1:]


def equal(a: object, b: object) -> bool:
    """Whether two constants are the same to the last bit, code objects in depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, types.CodeType):
        # co_lnotab follows from co_linetable, and is deprecated.
        names = [n for n in dir(a) if n.startswith("co_") and n != "co_lnotab"]
        fields = [name for name in names if not callable(getattr(a, name))]
        return all(equal(getattr(a, n), getattr(b, n)) for n in fields)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return text(a) == text(b)


def text(constant: object) -> str:
    """repr(), with the elements of sets in order."""
    if isinstance(constant, frozenset):
        return f"<{sorted(map(text, constant))}>"
    if isinstance(constant, tuple):
        return f"({list(map(text, constant))})"
    return repr(constant)


@pytest.fixture(params=list(SAMPLES.values()), ids=list(SAMPLES))
def sample(request: pytest.FixtureRequest) -> types.CodeType:
    return compiled(request.param)


class TestTheValue:
    """marshal.loads(canonical(x)) is marshal.loads(x)."""

    def test_samples(self, sample: types.CodeType) -> None:
        assert equal(marshal.loads(canonical(marshal.dumps(sample))), sample)

    def test_the_form_is_its_own_canonical_form(self, sample: types.CodeType) -> None:
        form = canonical(marshal.dumps(sample))
        assert canonical(form) == form

    def test_loading_and_dumping_leads_to_it_again(
        self, sample: types.CodeType
    ) -> None:
        form = canonical(marshal.dumps(sample))
        assert canonical(marshal.dumps(marshal.loads(form))) == form
        again = marshal.loads(marshal.dumps(sample))
        assert canonical(marshal.dumps(again)) == form

    def test_flags_are_set_where_a_reference_leads_and_nowhere_else(
        self, sample: types.CodeType
    ) -> None:
        flags, references = flags_and_references(canonical(marshal.dumps(sample)))
        assert references == set(range(flags))


def test_depth_is_no_matter() -> None:
    stream = b")\1" * 100_000 + b"N"
    assert canonical(stream) == stream


class TestRefusals:
    def test_every_cut(self, sample: types.CodeType) -> None:
        stream = marshal.dumps(sample)
        for end in range(0, len(stream), max(1, len(stream) // 500)):
            with pytest.raises(ValueError, match="bad marshal data"):
                canonical(stream[:end])

    @pytest.mark.parametrize(
        "stream",
        [
            marshal.dumps(1) + b"N",  # something follows
            b"?",  # no type
            b"\xce",  # None with a flag
            b"0",  # the end of a dict
            b"r\0\0\0\0",  # a reference to nothing
            b"\xa9\x01r\0\0\0\0",  # a tuple that holds itself
            b"(\xff\xff\xff\xff",  # more parts than bytes
            b"s\xff\xff\xff\xff",
            b"l\x00\x00\x00\x80",
            b"c" + bytes(200),  # code without bytecode
            marshal.dumps([1]),  # no constant of code
            marshal.dumps({1: 2}),
            marshal.dumps({1}),
        ],
    )
    def test_no_value(self, stream: bytes) -> None:
        with pytest.raises(ValueError, match="bad marshal data"):
            canonical(stream)

    def test_a_set_that_unfolds_to_gigabytes(self) -> None:
        """References to references: 40 bytes that stand for 2**30 elements."""
        stream = b"\xfa\x01x"
        for level in range(30):
            stream = b"\xa9\x02" + stream + b"r" + (30 - level).to_bytes(4, "little")
        with pytest.raises(ValueError, match="too deep"):
            canonical(b">\2\0\0\0" + stream + b"N")


def flags_and_references(  # noqa: C901 - a case for each type
    stream: bytes,
) -> tuple[int, set[int]]:
    """Return how many flags *stream* has and which references; read on its own."""
    flags, pos = 0, 0
    references: set[int] = set()

    def number(size: int = 4) -> int:
        nonlocal pos
        pos += size
        return int.from_bytes(stream[pos - size : pos], "little", signed=size == 4)

    def read() -> None:  # noqa: C901 - a case for each type
        nonlocal flags, pos
        kind = number(1)
        flags += kind >> 7
        letter = chr(kind & 127)
        if letter == "r":
            references.add(number())
        elif letter in "zZ":
            pos = number(1) + pos
        elif letter in "aAuts":
            pos = number() + pos
        elif letter in "igy":
            pos += {"i": 4, "g": 8, "y": 16}[letter]
        elif letter == "l":
            pos = 2 * abs(number()) + pos
        elif letter in ")(>:":
            count = 3 if letter == ":" else number(1 if letter == ")" else 4)
            for _ in range(count):
                read()
        elif letter == "c":
            modern = sys.version_info >= (3, 11)
            pos += 20 if modern else 24
            for _ in range(8):
                read()
            pos += 4
            for _ in range(2 if modern else 1):
                read()
        else:
            assert letter in "NTF."

    read()
    assert pos == len(stream)
    return flags, references


#: runs under any version: prints a line for each sample
CHILD = """
import marshal, sys
space = {}
exec(open(sys.argv[1]).read(), space)
canonical = space["canonical"]
def strings(code):
    for value in (code.co_name, *code.co_names, *code.co_varnames, *code.co_consts):
        if isinstance(value, str):
            yield value
        elif isinstance(value, type(code)):
            yield from strings(value)
for source in eval(sys.stdin.read()):
    fresh = marshal.dumps(compile(source, "<x>", "exec", dont_inherit=True))
    form = canonical(fresh)
    code = marshal.loads(form)
    assert canonical(marshal.dumps(code)) == canonical(form) == form
    # Now everything in it is alive and interned, and compiled once more.
    code = compile(source, "<x>", "exec", dont_inherit=True)
    alive = [sys.intern(text) for text in strings(code)] + [chr(i) for i in range(256)]
    alive = [sys.intern(text) for text in alive]
    used = marshal.dumps(code)
    again = marshal.dumps(compile(source, "<x>", "exec", dont_inherit=True))
    assert canonical(used) == canonical(again) == form
    print(fresh.hex(), form.hex(), used == fresh)
"""


class TestVersions:
    """Streams of every version, read by every version."""

    def test_there_and_here(self, interpreter: Interpreter) -> None:
        answers = self.run(interpreter, list(SAMPLES.values()))
        assert len(answers) == len(SAMPLES)
        for fresh, form, _ in answers:
            assert canonical(bytes.fromhex(fresh)).hex() == form

    def test_marshal_itself_is_not_canonical(self, interpreter: Interpreter) -> None:
        """What all this is for; when it fails everywhere, we can go home."""
        answers = self.run(interpreter, list(SAMPLES.values()))
        assert "False" in {same for _, _, same in answers}

    def run(self, interpreter: Interpreter, sources: list[str]) -> list[list[str]]:
        done = subprocess.run(
            [interpreter.executable, "-I", "-S", "-c", CHILD, marshalling.__file__],
            input=repr(sources),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [line.split() for line in done.stdout.splitlines()]


def test_the_module_stands_alone() -> None:
    """Compile children run it as text, where nothing of ours can be imported."""
    source = Path(marshalling.__file__).read_text(encoding="utf-8")
    code = compile(source, "marshalling", "exec")
    assert set(code.co_names) & {"lazyimport", "struct", "os"} == set()
    assert source.count("import ") == 2  # __future__, and typing for the checker
