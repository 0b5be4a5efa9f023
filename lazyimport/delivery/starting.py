"""Starting a fetcher: a process that reaches stores for those that must not.

Only what every interpreter has loaded is used here, so that the one process of a node
that starts a fetcher does not differ from the others by a module.
"""

from __future__ import annotations

import os
import posix
import sys
from fcntl import F_DUPFD_CLOEXEC, fcntl
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

from lazyimport.cache.node import NodeCache
from lazyimport.cache.sealed import TREES
from lazyimport.format.archive import Archive
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.locks import FileLock
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings

#: What a fetcher runs: itself, from this lazyimport, and with the path of the process
#: that started it. `_DETACHED` first leaves that process. What it makes stays until its
#: end, nearly all of it, so its collector looks for garbage seldom.
_PROGRAM = """\
import gc, sys
gc.set_threshold(100000)
_, where, asked, *path = sys.argv
sys.path[:] = where, *path
import lazyimport
sys.path[:] = path
from lazyimport.delivery.fetcher import main
main(asked)
"""
_DETACHED = "import os\nos.fork() and os._exit(0)\nos.setsid()\n"
#: How variables of ours begin, and other variables that mean something to us.
_OURS = ("LAZYIMPORT_", "BUCKET_NAME", "SOURCE_CODE_PATH")
_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PIECE = 1 << 20


def start_fetcher(settings: Settings, lock: FileLock, asked: str) -> None:
    """Start a fetcher for what is *asked*, which takes over its *lock*.

    That is the archive of *settings*, or a large file of it.

    What it has to say, it writes into the file of the lock. It belongs to no process:
    it has a session of its own, and goes on when this one ends.

    Raises DeliveryError if it cannot be started.
    """
    request, ask = os.pipe()
    try:
        descriptors = [(request, 0), (lock.hand_over(), 2)]
        pid = _spawn(settings, _DETACHED, asked, descriptors)
    finally:
        lock.leave()
        os.close(request)
        _write(ask, _request(settings))
    _wait(pid)


class Answers:
    """A child that is *asked* for something, and what it answers.

    It ends when this process does. Use it as a context manager.
    """

    def __init__(self, asked: str, settings: Settings) -> None:
        request, ask = os.pipe()
        self._answers, answer = os.pipe()
        try:
            self._pid = _spawn(settings, "", asked, [(request, 0), (answer, 1)])
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(request)
            os.close(answer)
            _write(ask, _request(settings))
        self._read = b""

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._answers)
        _wait(self._pid)

    def result(self, reporter: Reporter) -> list[str]:
        """Return the words of the result; *reporter* is told what comes before it.

        Raises what went wrong in the child, or DeliveryError if it died.
        """
        while True:
            kind, _, text = self._line().partition(" ")
            if kind == "result":
                return text.split(" ")
            if kind == "warn":
                reporter.warn(text)
            elif kind == "step":
                done, total, what = text.split(" ", 2)
                reporter.step(what, int(done), int(total) or None, "bytes")
            elif kind == "error":
                raise decode_error(text)
            else:
                raise _no_answer()

    def archive(self, hash: str, size: int, cache: NodeCache) -> Archive:
        """Return the archive of *size* bytes that follows the result.

        The base of an overlay is in *cache*. Raises DeliveryError if the child died
        before it had sent all of it.
        """
        return Archive(
            self.data(size),
            hash,
            "what was fetched into memory",
            sealed=True,
            base=lambda base: cache.open_base(base, hash),
        )

    def data(self, size: int) -> mmap:
        """Return *size* bytes that follow the result. Raises as `archive` does."""
        buffer = mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS)
        buffer.write(self._read)
        self._read = b""
        while buffer.tell() < size:
            data = os.read(self._answers, _PIECE)
            if not data:
                raise _no_answer()
            buffer.write(data)
        return buffer

    def _line(self) -> str:
        while b"\n" not in self._read and (data := os.read(self._answers, _PIECE)):
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line.decode("utf-8", "surrogateescape")


def fetch_alone(
    settings: Settings, reporter: Reporter, *, ahead: bool = False
) -> tuple[Archive, int]:
    """Return what a child brings for this process alone, and the bytes downloaded.

    *ahead* it is for the node cache. Raises what went wrong in the child.
    """
    with Answers("obtain ahead" if ahead else "obtain", settings) as answers:
        hash, moved, size = answers.result(reporter)
        cache = NodeCache(settings.cache_dir)
        if int(size):
            return answers.archive(hash, int(size), cache), int(moved)
    return cache.open_new(hash), int(moved)


def decode_error(text: str) -> errors.LazyImportError:
    """Return the error that a fetcher made *text* of."""
    import json

    try:
        kind, message, facts = json.loads(text)
        found = getattr(errors, kind)
        return found(message, **facts)  # type: ignore[no-any-return]
    except (ValueError, TypeError, AttributeError):
        return errors.DeliveryError(f"the fetcher has failed: {text}")


def _no_answer() -> errors.DeliveryError:
    return errors.DeliveryError(
        "the fetcher ended without an answer; see whether its store hangs, or "
        "something kills it, such as a limit of memory"
    )


def _request(settings: Settings) -> bytes:
    variables = settings.to_environ().items()
    data = "\0".join(f"{name}={value}" for name, value in variables).encode(
        "utf-8", "surrogateescape"
    )
    # Something that was forked may keep the pipe open, so its end says nothing.
    return len(data).to_bytes(4, "big") + data


def _path(settings: Settings) -> list[str]:
    """Return the ``sys.path`` of this process without what lies in a tree.

    The standard library is first: a program may have a ``json.py`` of its own.
    """
    trees = f"{settings.cache_dir}/{TREES}/"
    library = os.path.dirname(os.__file__)
    paths = [
        path
        for path in sys.path
        if isinstance(path, str) and path and not path.startswith(trees)
    ]
    return sorted(paths, key=lambda p: p not in {library, f"{library}/lib-dynload"})


def _spawn(
    settings: Settings, first: str, asked: str, descriptors: list[tuple[int, int]]
) -> int:
    """Start a fetcher with these *descriptors*, as pairs of ours and its own."""
    flags = [
        option
        for option, given in (
            ("-I", sys.flags.isolated),
            ("-E", sys.flags.ignore_environment),
            ("-s", sys.flags.no_user_site),
            ("-S", sys.flags.no_site),
        )
        if given
    ]
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(_OURS)
    }
    program = [sys.executable, *flags, "-c", first + _PROGRAM, _HERE, asked]
    program += _path(settings)
    actions = []
    try:
        # Where one of the first three was closed, ours may be what its own is to be.
        for ours, its in descriptors:
            copy = fcntl(ours, F_DUPFD_CLOEXEC, 3)
            actions.append((os.POSIX_SPAWN_DUP2, copy, its))
        return posix.posix_spawn(sys.executable, program, environ, file_actions=actions)
    except (OSError, ValueError) as error:
        raise errors.DeliveryError(
            f"the fetcher cannot be started: {error}; it runs "
            f"{sys.executable!r}, which must be a Python"
        ) from error
    finally:
        for _, copy, _ in actions:
            os.close(copy)


def _write(descriptor: int, data: bytes) -> None:
    """Write what a pipe takes at once, and close it."""
    try:
        os.write(descriptor, data)
    except OSError:
        pass  # its reader has died, which is noticed elsewhere
    finally:
        os.close(descriptor)


def _wait(pid: int) -> None:
    """Wait for the end of a child, unless somebody else has."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
