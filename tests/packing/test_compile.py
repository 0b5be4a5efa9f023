"""Compiling in children: the same bytes whatever surrounds it, and no child left."""

from __future__ import annotations

import hashlib
import json
import marshal
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

import lazyimport
from lazyimport.errors import PackError
from lazyimport.packing.compile import (
    CODE_FILENAME,
    SyntaxProblem,
    compile_sources,
    compilers_kept,
)
from lazyimport.packing.interpreters import Interpreter, find_interpreters
from tests.support.scale import scaled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

SOURCES = [
    b"",
    b"'''doc'''\nassert 1\n",
    b"def f(a, b=1):\n    'doc'\n    return a in {None, 'x', 'y', 1, 2.5, ('x', None)}\n",
    b"class A:\n    x: int = 1\n    def m(self): return lambda: (self, 'two words')\n",
    "# coding: latin-1\né = 'é'\n".encode("latin-1"),
    "\ufeffŝ = 'ŝ', '\\d'\n".encode(),
    b"x = 1 is 1\n",
    b"a = '-'; b = '<lambda>'; c = lambda: '<lazyimport>'\n",
    b"f = (" + b"(1, " * 60 + b"2" + b")" * 60 + b")\n",
    b"\r\nx = 1\r\nif x:\r\n    y = '''a\r\nb'''\r\n",
]


@pytest.fixture(scope="module")
def running() -> Interpreter:
    return find_interpreters([""])[0]


def compile_all(
    interpreter: Interpreter,
    sources: Sequence[bytes],
    *,
    optimization: int = 0,
    jobs: int = 2,
) -> list[Any]:
    pairs = [(str(number).encode(), source) for number, source in enumerate(sources)]
    results = list(compile_sources(interpreter, optimization, pairs, jobs=jobs))
    assert [key for key, _ in results] == [key for key, _ in pairs]
    return [result for _, result in results]


def failing() -> Iterator[tuple[bytes, bytes]]:
    yield b"", b"1"
    raise PackError("gone")


class TestResults:
    @pytest.mark.filterwarnings('ignore:("is"|.*escape sequence)')
    def test_code_is_what_compile_gives(self, running: Interpreter) -> None:
        for source, data in zip(SOURCES, compile_all(running, SOURCES), strict=True):
            code = compile(source, CODE_FILENAME, "exec", dont_inherit=True, optimize=0)
            assert marshal.loads(data) == code
            assert marshal.loads(data).co_filename == CODE_FILENAME

    @pytest.mark.parametrize("optimization", [0, 1, 2])
    def test_optimization(self, running: Interpreter, optimization: int) -> None:
        source = b"def f():\n    'doc'\n    assert 0\n    return __debug__\n"
        (data,) = compile_all(running, [source], optimization=optimization)
        space: dict[str, Any] = {}
        exec(marshal.loads(data), space)
        f = space["f"]
        assert f.__doc__ == (None if optimization == 2 else "doc")
        if optimization:
            assert f() is False
        else:
            with pytest.raises(AssertionError):
                f()

    def test_no_sources(self, running: Interpreter) -> None:
        assert compile_all(running, []) == []

    def test_keys_are_the_callers(self, running: Interpreter) -> None:
        pairs = [(b"b", b"1"), (b"a", b"2"), (b"b", b"3")]
        assert [k for k, _ in compile_sources(running, 0, pairs)] == [b"b", b"a", b"b"]

    def test_larger_than_any_pipe(self, running: Interpreter) -> None:
        sources = [b"x = '" + b"%d" % n * 3_000_000 + b"'\n" for n in range(6)]
        for data in compile_all(running, sources):
            assert len(data) > 3_000_000

    def test_more_children_than_sources(self, running: Interpreter) -> None:
        assert len(compile_all(running, [b"1"], jobs=16)) == 1


class TestProblems:
    @pytest.mark.parametrize(
        ("source", "line"),
        [
            (b"x = 1\ny = = 2\n", 2),
            (b"if 1:\n1\n", 2),
            (b"x = 1\nreturn x\n", 2),
            (b"\xff = 1\n", None),
            (b"# coding: no-such\n", None),
            (b"a\0b", None),
            (b"x = " + b"(" * 5000, None),
            (b"x = " + b"-" * 200_000 + b"1", None),
            (b"x = " + b"9" * 10_000, 1),
        ],
        # pytest hands the name on to children, which take no more than 128 KiB
        ids=range(9),
    )
    def test_what_is_no_python(
        self, interpreter: Interpreter, source: bytes, line: int | None
    ) -> None:
        result, good = compile_all(interpreter, [source, b"x = 1\n"], jobs=1)
        assert isinstance(result, SyntaxProblem)
        assert result.message
        if line is not None:
            assert result.lineno == line
        assert isinstance(good, bytes)  # the child goes on

    def test_warnings_are_silent(
        self, interpreter: Interpreter, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert isinstance(compile_all(interpreter, [b"x = '\\d' is 1\n"])[0], bytes)
        assert capfd.readouterr() == ("", "")

    def test_the_file_is_not_looked_for(
        self, running: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The source line of an error is read from a file of that name."""
        (tmp_path / CODE_FILENAME).write_text("elsewhere\n")
        monkeypatch.chdir(tmp_path)
        (result,) = compile_all(running, [b"x = = 1\n"])
        assert result == SyntaxProblem("invalid syntax", 1)


#: prints the digest of all results; what surrounds it differs between runs
PROGRAM = """
import hashlib, sys
from lazyimport.packing.compile import compile_sources
from lazyimport.packing.interpreters import find_interpreters
sources, request, jobs = eval(sys.stdin.read())
interpreter, = find_interpreters([request])
pairs = [(hashlib.sha256(s).digest(), s) for s in sources]
results = dict(compile_sources(interpreter, 0, pairs, jobs=jobs))
print(hashlib.sha256(repr(sorted(results.items())).encode()).hexdigest())
"""


class TestDeterminism:
    """The bytes depend on source, version and level."""

    def test_order_jobs_and_what_came_before(self, interpreter: Interpreter) -> None:
        forwards = compile_all(interpreter, SOURCES, jobs=1)
        for jobs in (1, 2, 3):
            assert compile_all(interpreter, SOURCES[::-1], jobs=jobs) == forwards[::-1]
        assert compile_all(interpreter, SOURCES * 3, jobs=2) == forwards * 3
        alone = [compile_all(interpreter, [source])[0] for source in SOURCES]
        assert alone == forwards

    def test_what_surrounds_it(self, interpreter: Interpreter, tmp_path: Path) -> None:
        (tmp_path / "marshal.py").write_text("boom")
        (tmp_path / "unicodedata.py").write_text("boom")
        (tmp_path / "sitecustomize.py").write_text("boom")
        plain = self.run(interpreter)
        surroundings: list[dict[str, Any]] = [
            {"environ": {"PYTHONHASHSEED": "1", "PYTHONOPTIMIZE": "2"}},
            {"environ": {"PYTHONHASHSEED": "random", "PYTHONNODEBUGRANGES": "1"}},
            {"environ": {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "ignore"}},
            {"environ": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}},
            {"environ": {"PYTHONPATH": f"{tmp_path}", "HOME": f"{tmp_path}"}},
            {"environ": {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}},
            {"cwd": tmp_path, "umask": 0o777},
            {"cwd": "/usr", "jobs": 1, "order": -1},
            {"jobs": 5, "stack": 1 << 20},
        ]
        for surrounding in surroundings:
            assert self.run(interpreter, **surrounding) == plain, surrounding

    def run(
        self,
        interpreter: Interpreter,
        *,
        environ: dict[str, str] | None = None,
        cwd: str | Path = "/",
        umask: int = 0o22,
        jobs: int = 2,
        order: int = 1,
        stack: int = 0,
    ) -> str:
        def prepare() -> None:
            os.umask(umask)
            if stack:
                import resource

                hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
                resource.setrlimit(resource.RLIMIT_STACK, (stack, hard))

        root = Path(lazyimport.__file__).parents[1]
        own = (environ or {}).get("PYTHONPATH", "")
        variables = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
            **(environ or {}),
            "TMPDIR": "/tmp",
        }
        # Ours comes first in the program that calls; its children get none of it.
        boot = f"import sys; sys.path.insert(0, {str(root)!r})\n"
        if own:
            variables["PYTHONPATH"] = ""
            boot += f"import os; os.environ['PYTHONPATH'] = {own!r}\n"
        done = subprocess.run(
            [sys.executable, "-c", boot + PROGRAM],
            input=repr((SOURCES[::order], interpreter.executable, jobs)),
            env=variables,
            cwd=cwd,
            preexec_fn=prepare,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @pytest.mark.slow
    def test_the_standard_library(self) -> None:
        """Both ways through it, by one child and by two.

        For the running Python: the matrix has the others.
        """
        (interpreter,) = find_interpreters([])
        folder = Path(sysconfig.get_path("stdlib"))
        paths = [
            path
            for path in sorted(folder.rglob("*.py"))
            if "site-packages" not in path.parts
            and path.is_file()  # Debian has a link to a file of its own system there
        ]
        assert len(paths) > 500
        sources = [path.read_bytes() for path in paths[:: scaled(8, 1)]]
        assert self.digests(interpreter, sources, 1) == self.digests(
            interpreter, sources[::-1], 2
        )

    def digests(
        self, interpreter: Interpreter, sources: Sequence[bytes], jobs: int
    ) -> dict[bytes, object]:
        pairs = ((hashlib.sha256(source).digest(), source) for source in sources)
        results: dict[bytes, object] = {}
        for key, result in compile_sources(interpreter, 0, pairs, jobs=jobs):
            if isinstance(result, SyntaxProblem):
                results[key] = result
            else:
                results[key] = hashlib.sha256(result).digest()
        return results


def imitation(folder: Path, body: str) -> Interpreter:
    """A program that is called like an interpreter and does *body* for each source."""
    program = folder / "imitation"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "def receive():\n"
        "    head = sys.stdin.buffer.read(4)\n"
        "    if len(head) < 4: sys.exit()\n"
        "    return sys.stdin.buffer.read(int.from_bytes(head, 'little'))\n"
        "def send(data):\n"
        "    os.write(1, len(data).to_bytes(4, 'little') + data)\n"
        f"folder = {str(folder)!r}\n"
        "open(f'{folder}/pid.{os.getpid()}', 'w').close()\n"
        "receive(); send(b'ready')\n"
        "while True:\n"
        "    source = receive()\n"
        f"    {body}\n"
        "    send(b'C' + source)\n"
    )
    program.chmod(0o755)
    return Interpreter(
        str(program), "cpython-399", b"\0\0\r\n", (3, 99, 0), frozenset()
    )


def pids(folder: Path) -> list[int]:
    return [int(path.suffix[1:]) for path in folder.glob("pid.*")]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class TestChildren:
    def test_one_that_crashes_costs_its_source_only(self, tmp_path: Path) -> None:
        fake = imitation(tmp_path, "if source == b'die': os.kill(os.getpid(), 11)")
        results = compile_all(fake, [b"1", b"die", b"2", b"3"], jobs=1)
        assert [results[0], *results[2:]] == [b"1", b"2", b"3"]
        assert results[1].lineno is None
        assert "crashed" in results[1].message
        assert "signal 11" in results[1].message

    def test_one_that_exits(self, tmp_path: Path) -> None:
        fake = imitation(tmp_path, "if source == b'die': os._exit(3)")
        results = compile_all(fake, [b"1", b"die", b"2"], jobs=2)
        assert "exit code 3" in results[1].message
        assert results[2] == b"2"

    def test_one_killed_for_its_past_is_tried_again(self, tmp_path: Path) -> None:
        body = "marker = f'{folder}/died'; os.path.exists(marker) or (open(marker, 'w').close(), os.kill(os.getpid(), 9))"
        fake = imitation(tmp_path, body)
        assert compile_all(fake, [b"1", b"2"], jobs=1) == [b"1", b"2"]

    def test_one_killed_again_is_no_word_on_its_source(self, tmp_path: Path) -> None:
        """What the kernel kills when memory runs out must not be in the hash."""
        fake = imitation(tmp_path, "if source == b'die': os.kill(os.getpid(), 9)")
        with pytest.raises(PackError, match="killed twice"):
            compile_all(fake, [b"1", b"die", b"2"], jobs=1)
        assert not any(map(is_running, pids(tmp_path)))

    @pytest.mark.parametrize("error", [GeneratorExit, KeyboardInterrupt, ValueError])
    def test_none_is_left_when_the_caller_gives_up(
        self, tmp_path: Path, error: type[BaseException]
    ) -> None:
        fake = imitation(tmp_path, "source == b'1' or time.sleep(1000)")
        results = compile_sources(
            fake, 0, [(b"", b"%d" % n) for n in range(1, 9)], jobs=3
        )
        assert next(results) == (b"", b"1")
        started = time.monotonic()
        with pytest.raises(error):
            results.throw(error)
        assert time.monotonic() - started < 20
        assert not any(map(is_running, pids(tmp_path)))

    def test_none_is_left_when_the_sources_fail(self, tmp_path: Path) -> None:
        with pytest.raises(PackError, match="gone"):
            list(compile_sources(imitation(tmp_path, "pass"), 0, failing(), jobs=2))
        assert not any(map(is_running, pids(tmp_path)))

    def test_none_is_left_at_the_end(self, tmp_path: Path) -> None:
        compile_all(imitation(tmp_path, "pass"), [b"1"] * 20, jobs=2)
        assert len(pids(tmp_path)) <= 2
        assert not any(map(is_running, pids(tmp_path)))

    def test_kept_ones_serve_again_and_end_with_the_block(self, tmp_path: Path) -> None:
        """A process that packs at each save starts no child at each."""
        fake = imitation(tmp_path, "source != b'die' or os._exit(3)")
        with compilers_kept():
            compile_all(fake, [b"1"], jobs=1)
            with compilers_kept():
                compile_all(fake, [b"2"], jobs=1)
            (pid,) = pids(tmp_path)
            assert is_running(pid)
            with pytest.raises(PackError, match="gone"):
                list(compile_sources(fake, 0, failing(), jobs=1))
            assert not is_running(pid)
            compile_all(fake, [b"3", b"die", b"4"], jobs=1)
        assert not any(map(is_running, pids(tmp_path)))

    def test_sources_are_asked_for_as_they_are_needed(
        self, running: Interpreter
    ) -> None:
        asked = 0

        def sources() -> Iterator[tuple[bytes, bytes]]:
            nonlocal asked
            for number in range(10_000):
                asked += 1
                yield b"%d" % number, b"1"

        results = compile_sources(running, 0, sources(), jobs=2)
        assert asked == 0
        next(results)
        assert asked <= 20
        results.close()

    def test_an_interpreter_that_does_not_start(
        self, tmp_path: Path, running: Interpreter
    ) -> None:
        for program, words in (
            ("/bin/false", "exit code 1"),
            ("/nowhere", "cannot be run"),
        ):
            with pytest.raises(PackError, match=words):
                compile_all(running._replace(executable=program), [b"1"])
        broken = tmp_path / "broken"
        broken.write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
        broken.chmod(0o755)
        with pytest.raises(PackError, match="no such library"):
            compile_all(running._replace(executable=str(broken)), [b"1"], jobs=3)


def test_few_large_sources_are_in_memory_at_once(running: Interpreter) -> None:
    asked = []

    def sources() -> Iterator[tuple[bytes, bytes]]:
        for number in range(5):
            asked.append(number)
            yield b"%d" % number, b"#" * (20 << 20)

    compiled = compile_sources(running, 0, sources(), jobs=1)
    next(compiled)
    assert asked == [0, 1]
    assert len(list(compiled)) == 4


def test_problems_and_interpreters_are_values(running: Interpreter) -> None:
    assert SyntaxProblem("a", 1) == SyntaxProblem("a", 1)
    assert json.dumps(SyntaxProblem("a", None)) == '["a", null]'
    with pytest.raises(AttributeError):
        running.tag = "x"  # type: ignore[misc]
