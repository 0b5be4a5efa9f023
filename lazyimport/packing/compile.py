"""Compiling: sources in, bytecode out, for any Python that is on this machine.

The bytes that come back are a function of the source, the version and the
optimization level. Children get no ``PYTHON*`` variable but a fixed hash seed, no
site, no user's folder and none of the caller's directories; all sources share one
file name, `CODE_FILENAME`, which the loader replaces; `marshalling.canonical` takes
out what is left of the child's past.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from lazyimport.errors import PackError
from lazyimport.format import sha256
from lazyimport.packing import marshalling
from lazyimport.packing.interpreters import Interpreter

#: ``co_filename`` of everything compiled here.
CODE_FILENAME = "<lazyimport>"

# Sources, and bytes of sources, that are handed out ahead of the one whose result is
# due, for each child: they keep the other children busy while one compiles a large
# source. One source more than that may be out.
_AHEAD = 8
_MOST_AHEAD = 32 << 20

# Runs in the children, so on every version. sys.path begins with the working
# directory here, from which nothing may be imported (compile() itself imports
# codecs and unicodedata). The thread is for the size of its stack: from 3.14 on
# that decides how deep a source may nest, and the main thread's is the caller's
# ulimit. Frames: a 32-bit length, then as many bytes.
_CHILD = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import marshal, _thread
take, put, flush = sys.stdin.buffer.read, sys.stdout.buffer.write, sys.stdout.buffer.flush
filename, optimize = sys.argv[1], int(sys.argv[2])
def receive():
    head = take(4)
    return take(int.from_bytes(head, "little")) if len(head) == 4 else None
def send(*parts):
    put(sum(map(len, parts)).to_bytes(4, "little"))
    for part in parts:
        put(part)
    flush()
def attempt(source):
    try:
        code = compile(source, filename, "exec", dont_inherit=True, optimize=optimize)
        return marshal.dumps(code), None, 0
    except SyntaxError as error:
        return None, error.msg, error.lineno
    except RecursionError:
        return None, "too deeply nested", 0
    except MemoryError:
        return None, "too large or too deeply nested", 0
    except (ValueError, OverflowError, LookupError) as error:
        return None, error, 0
def run():
    space = {"__name__": "marshalling"}
    exec(compile(receive(), "marshalling", "exec", dont_inherit=True), space)
    send(b"ready")
    for source in iter(receive, None):
        code, message, line = attempt(source)
        if code is not None:
            send(b"C", space["canonical"](code))
        else:
            line = line if line and line > 0 else 0
            text = str(message).encode("utf-8", "backslashreplace")
            send(b"P", line.to_bytes(4, "little"), text)
status = 1
def thread():
    global status
    try:
        run()
        status = 0
    finally:
        done.release()
done = _thread.allocate_lock()
done.acquire()
_thread.stack_size(64 << 20)
_thread.start_new_thread(thread, ())
done.acquire()
sys.exit(status)
"""


class SyntaxProblem(NamedTuple):
    """Why a source has no bytecode; ``lineno`` counts from 1, or is None."""

    message: str
    lineno: int | None


def identity(interpreter: Interpreter) -> str:
    """Return all that the bytecode of a source depends on, except the optimization.

    A micro release may compile otherwise without another magic number.
    """
    made_by = sha256(_marshalling_source() + _CHILD.encode()).hex()
    version = ".".join(map(str, interpreter.version))
    return f"{interpreter.tag} {interpreter.magic.hex()} {version} {made_by}"


def compile_sources(
    interpreter: Interpreter,
    optimization: int,
    sources: Iterable[tuple[bytes, bytes]],
    *,
    jobs: int | None = None,
) -> Generator[tuple[bytes, bytes | SyntaxProblem], None, None]:
    """Yield each key of *sources* with the marshalled code of its source, in order.

    *sources* are pairs of any key and the bytes of a source file; they are asked
    for a few at a time, in the caller's thread. *optimization* is 0, 1 or 2.
    *jobs* children run at once, by default one for each processor. A source that
    is no Python, or that crashes the compiler, gives a SyntaxProblem; the others go
    on. Closing the iterator ends the children.

    Raises PackError if the interpreter does not start, or is killed.
    """
    count = max(1, jobs or _processors())
    key_of_kept = interpreter, optimization, count
    compilers = _kept.pop(key_of_kept, None) or _Compilers(*key_of_kept)
    rest = iter(sources)
    waiting: deque[tuple[bytes, int, Future[bytes | SyntaxProblem]]] = deque()
    held, done = 0, False
    try:
        while True:
            while len(waiting) < count * _AHEAD and held < count * _MOST_AHEAD:
                key, source = next(rest, (b"", None))
                if source is None:
                    break
                waiting.append((key, len(source), compilers.submit(source)))
                held += len(source)
                del source
            if not waiting:
                done = True
                return
            key, size, future = waiting.popleft()
            yield key, future.result()
            held -= size
            del future
    finally:
        for _, _, future in waiting:
            future.cancel()
        if done and _keeping:
            _kept[key_of_kept] = compilers
        else:
            compilers.close()


@contextlib.contextmanager
def compilers_kept() -> Iterator[None]:
    """Let the children of one `compile_sources` serve the next, until this ends.

    For a process that packs again and again, in one thread.
    """
    _keeping.append(True)
    try:
        yield
    finally:
        _keeping.pop()
        while not _keeping and _kept:
            _kept.popitem()[1].close()


class _Compilers:
    """The children: one for each of *count* threads, busy with one source at a time.

    A child reads a whole frame before it writes and a thread writes a whole frame
    before it reads, so neither can wait for the other.
    """

    def __init__(self, interpreter: Interpreter, optimization: int, count: int) -> None:
        self._interpreter = interpreter
        self._optimization = optimization
        self._pool = ThreadPoolExecutor(count, "lazyimport-compile")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._alive: set[_Child] = set()
        self._closed = False

    def close(self) -> None:
        """Kill every child; threads that wait for one get an error."""
        with self._lock:
            self._closed = True
            children, self._alive = self._alive, set()
        for child in children:
            child.kill()  # all of them first: a thread waits for each
        for child in children:
            child.end()
        self._pool.shutdown()  # its threads wait for no child any more

    def submit(self, source: bytes) -> Future[bytes | SyntaxProblem]:
        """Compile *source* as soon as a child is free."""
        return self._pool.submit(self._compile, source)

    def _compile(self, source: bytes) -> bytes | SyntaxProblem:
        """Return the code of *source* or what is wrong with it.

        Raises PackError if the child is killed from outside: that says nothing about
        the source.
        """
        ending = 0
        # A child that ends may have been killed for the memory that earlier sources
        # took; the second one starts with this source.
        for _ in range(2):
            child = self._child()
            answer = child.ask(source)
            if answer is not None:
                if answer[:1] == b"C":
                    return answer[1:]
                line = int.from_bytes(answer[1:5], "little")
                return SyntaxProblem(answer[5:].decode("utf-8"), line or None)
            ending = child.end()
            with self._lock:
                self._alive.discard(child)
            self._own.child = None
        tag = self._interpreter.tag
        if ending == -signal.SIGKILL:  # not by what it compiled
            raise PackError(
                f"a source of {len(source):,} bytes has no {tag} bytecode: its compiler "
                "was killed twice, most likely because memory ran out, and without it "
                "the archive would be another; pack again, with fewer --jobs"
            )
        how = f"signal {-ending}" if ending < 0 else f"exit code {ending}"
        return SyntaxProblem(f"the compiler of {tag} crashed on it ({how})", None)

    def _child(self) -> _Child:
        child: _Child | None = getattr(self._own, "child", None)
        if child is None:
            with self._lock:  # because close() must see every child there is
                if self._closed:
                    raise PackError("compiling was given up")
                child = _Child(self._interpreter, self._optimization)
                self._alive.add(child)
            child.wait_until_ready()
            self._own.child = child
        return child


#: children that nobody uses, while somebody is to keep them
_kept: dict[tuple[Interpreter, int, int], _Compilers] = {}
_keeping: list[bool] = []


class _Child:
    """A process of an interpreter that compiles what it is sent."""

    def __init__(self, interpreter: Interpreter, optimization: int) -> None:
        self._executable = interpreter.executable
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environ["PYTHONHASHSEED"] = "0"  # which -I or -E would ignore
        options = ["-S", "-s", "-B", "-W", "ignore", "-X", "utf8"]
        arguments = [CODE_FILENAME, str(optimization)]
        # A file takes what a pipe that nobody reads would block on.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        try:
            self._process = subprocess.Popen(
                [self._executable, *options, "-c", _CHILD, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=environ,
                cwd="/",
            )
        except OSError as error:
            self._stderr.close()
            raise PackError(f"{self._executable} cannot be run: {error}") from error

    def wait_until_ready(self) -> None:
        """Hand over the marshalling; raises PackError if the child does not start."""
        if self.ask(_marshalling_source()) == b"ready":
            return
        self._process.kill()
        self._process.wait()
        try:
            self._stderr.seek(0)
            said = self._stderr.read().decode("utf-8", "replace").strip()
        except ValueError:
            said = ""  # closed by end(), in another thread
        last = said.rpartition("\n")[2] or f"exit code {self._process.returncode}"
        raise PackError(f"{self._executable} does not compile: {last}")

    def ask(self, request: bytes) -> bytes | None:
        """Return the answer to *request*, or None if the child has ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None  # both are pipes
        try:
            stdin.write(len(request).to_bytes(4, "little"))
            stdin.write(request)
            stdin.flush()
            head = stdout.read(4)
            size = int.from_bytes(head, "little")
            answer = stdout.read(size) if len(head) == 4 else b""
        except (OSError, ValueError):  # a broken pipe, or one that end() closed
            return None
        return answer if answer and len(answer) == size else None

    def kill(self) -> None:
        """End the process; a thread in `ask` gets None."""
        self._process.kill()

    def end(self) -> int:
        """Return how the process ended, once it has; may run beside `ask`."""
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            if pipe is not None:
                # Bytes that nobody takes any more, or two threads that close at once.
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()
        return code


def _processors() -> int:
    """Return how many processors this process may use; on macOS, how many there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _marshalling_source() -> bytes:
    """Return the text of the module that children run on their bytecode."""
    get_source = getattr(marshalling.__loader__, "get_source", None)
    text: str | None = get_source(marshalling.__name__) if get_source else None
    if not text:
        raise PackError("lazyimport is installed without its sources; reinstall it")
    return text.encode()
