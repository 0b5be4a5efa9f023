"""zstd frames: one member in, one frame out, and back within a known size.

Python 3.14 brings zstd (PEP 784); before that, or where a build lacks it,
python-zstandard does. Neither is imported until a frame must be made or opened,
which never happens at a start from the node cache in its default mode.
"""

from __future__ import annotations

import sys

from lazyimport.errors import DamagedArchive, UnsupportedArchive
from lazyimport.installed import find_installed, load_installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from typing import Any, TypeAlias

    Data: TypeAlias = bytes | memoryview
    #: compresses each of a batch; opens a frame of a known size; what that raises
    Codec: TypeAlias = tuple[
        Callable[[list[Data]], list[bytes]],
        Callable[[Data, int], bytes],
        tuple[type[Exception], ...],
    ]

#: zstd level: what a push can afford for tens of thousands of small members.
LEVEL = 6

#: No byte of a frame gives more bytes than this: a block is at most 128 KiB and
#: at least 4 bytes, its header and the byte that it repeats.
MAX_RATIO = (128 << 10) // 4

#: More would wait for the one thread that reads, hashes and writes.
_THREADS = 4

#: What is compressed of large data to see whether it pays, and what it must save.
_SAMPLES, _SAMPLE = 8, 1 << 17
_WORTH = 0.8
#: Bytes of a member that is looked at in this way before it is compressed.
_MUCH = 8 << 20

#: What one turn of a thread compresses: enough to outweigh handing it over.
_BATCH_BYTES = 1 << 18
_BATCH_MEMBERS = 256


def compress(data: Data) -> Data:
    """Return *data* as one zstd frame, or as it is if that is not smaller."""
    return _compress_batch([data])[0]


def pays(data: Data) -> bool:
    """Return whether compressing *data*, which is large, is worth it.

    A few samples tell: weights of models do not get smaller.
    """
    step = max(len(data) // _SAMPLES, _SAMPLE)
    parts = [data[at : at + _SAMPLE] for at in range(0, len(data), step)]
    small = sum(len(frame) for frame in _codec()[0](parts))
    return small < _WORTH * sum(map(len, parts))


def compress_all(members: Iterable[Data], *, framed: bool = False) -> Iterator[Data]:
    """Yield what `compress` gives for each of *members*, in order, on several cores.

    All are *framed*, even where that makes them larger, if that is asked for.

    zstd runs without the GIL. At most a few batches are read ahead.
    """
    from collections import deque
    from concurrent.futures import ThreadPoolExecutor

    running: deque[Future[list[Data]]] = deque()
    one: Callable[[list[Data]], Any] = _codec()[0] if framed else _compress_batch
    with ThreadPoolExecutor(_THREADS, "lazyimport-zstd") as pool:
        for batch in _batches(members):
            running.append(pool.submit(one, batch))
            if len(running) > _THREADS:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()


def decompress(frame: Data, size: int) -> bytes:
    """Return the *size* bytes that *frame* holds.

    Never allocates more than *size* and a constant. Raises DamagedArchive unless
    *frame* is exactly one frame that declares and holds so many bytes, and
    UnsupportedArchive where this Python has no zstd.
    """
    _, decompress_frame, errors = _codec()
    try:
        if size > len(frame) * MAX_RATIO:
            raise ValueError(f"{len(frame)} bytes cannot give {size}")
        data = decompress_frame(frame, size)
        if len(data) != size:
            raise ValueError(f"it holds {len(data)} bytes where {size} were promised")
    except errors as error:
        raise DamagedArchive(
            f"a compressed member cannot be opened: {error}",
            member="",
            expected="",
            actual="",
        ) from None
    return data


def _batches(members: Iterable[Data]) -> Iterator[list[Data]]:
    batch: list[Data] = []
    size = 0
    for member in members:
        batch.append(member)
        size += len(member)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_MEMBERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _compress_batch(batch: list[Data]) -> list[Data]:
    *others, last = batch
    if len(last) >= _MUCH and not pays(last):
        return [*(_compress_batch(others) if others else []), last]
    frames = _codec()[0](batch)
    return [
        frame if len(frame) < len(data) else data
        for data, frame in zip(batch, frames, strict=True)
    ]


_loaded: Codec | None = None


def _codec() -> Codec:
    global _loaded  # noqa: PLW0603 - whichever is there, found once
    if _loaded is None:
        try:
            _loaded = _standard_library()
        except ImportError:
            try:
                _loaded = _python_zstandard()
            except ImportError:
                raise UnsupportedArchive(
                    "this Python has no zstd, which compressed archives need: "
                    "install 'zstandard' (pip install zstandard), or a Python from "
                    "3.14 on whose build includes compression.zstd",
                    version=1,
                ) from None
    return _loaded


def _standard_library() -> Codec:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]

    def compress_batch(batch: list[Data]) -> list[bytes]:
        # One context for the batch: making it costs more than a small member.
        context = zstd.ZstdCompressor(LEVEL)
        return [context.compress(data, context.FLUSH_FRAME) for data in batch]

    def decompress_frame(frame: Data, size: int) -> bytes:
        declared = zstd.get_frame_info(frame).decompressed_size
        if declared != size:
            raise ValueError(f"it declares {declared} bytes where {size} were promised")
        context = zstd.ZstdDecompressor()
        # One byte more than there may be, so that its end is reached and checked.
        data: bytes = context.decompress(frame, size + 1)
        if not context.eof or context.unused_data:
            raise ValueError("it is cut, or something follows it")
        return data

    return compress_batch, decompress_frame, (zstd.ZstdError, ValueError)


def python_zstandard() -> Any:
    """Return the installed python-zstandard. Raises ImportError if there is none."""
    return _extension() or load_installed("zstandard")


def _extension() -> Any:
    """Return the C extension of python-zstandard, without its package.

    That loads `typing`, `re` and `platform`: more than all that a fetcher of a small
    archive does besides. None where there is no such extension.
    """
    import _frozen_importlib as bootstrap
    from _frozen_importlib_external import PathFinder, spec_from_file_location

    package, name = find_installed("zstandard"), "zstandard.backend_c"
    places = None if package is None else package.submodule_search_locations
    found = None if places is None else PathFinder.find_spec(name, places)
    if found is None or found.origin is None:
        return None
    # By its own name: by another, it would be initialized twice, and what it raises in
    # the program would be no ZstdError there.
    spec: Any = spec_from_file_location(name, found.origin)
    its = sys.modules.get(name)
    module = bootstrap.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules.pop(name, None)  # which some Pythons have put there
    if its is not None:
        sys.modules[name] = its
    return module


def _python_zstandard() -> Codec:
    zstandard = python_zstandard()

    # A context must not be shared between threads, and making one costs ten times
    # what a small member does: list.pop and list.append are the pool's whole lock.
    idle: list[Any] = []

    def compress_batch(batch: list[Data]) -> list[bytes]:
        context = zstandard.ZstdCompressor(level=LEVEL)
        return [context.compress(data) for data in batch]

    def decompress_frame(frame: Data, size: int) -> bytes:
        declared = zstandard.frame_content_size(frame)
        if declared != size:
            raise ValueError(f"it declares {declared} bytes where {size} were promised")
        try:
            context = idle.pop()
        except IndexError:
            context = zstandard.ZstdDecompressor()
        data: bytes = context.decompress(frame, allow_extra_data=False)
        idle.append(context)
        return data

    return compress_batch, decompress_frame, (zstandard.ZstdError, ValueError)
