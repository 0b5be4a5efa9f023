"""Measure fresh processes in turn, and how far the figures can be trusted.

No machine is ever quiet. So every side of a comparison runs once per round, in random
order within the round, and the figures of one round are compared with each other. The
result is the median over the rounds, with the interval that contains it in 95 of 100
resamples (bootstrap).
"""

from __future__ import annotations

import argparse
import compileall
import ctypes
import datetime as dt
import glob
import importlib.util
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from lazyimport.cache.node import NodeCache
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import pack_roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Python without site, environment, and user folder: nothing else of this machine.
BARE = ("-I", "-S")
_RESAMPLES = 2000


class Sample(NamedTuple):
    """The cost of one child process, in milliseconds.

    ``inside`` is what it wrote to its output: the cost that it measured itself.
    """

    cpu: float
    wall: float
    inside: float = 0.0


class Figure(NamedTuple):
    """A median with the interval around it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 3 if abs(self.median) < 3 else 1
        return (
            f"{self.median:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        )


def arguments(about: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of the arguments that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--quick", action="store_true", help="only show that it runs, in 2 small rounds"
    )
    return parser


def run(
    command: Sequence[str],
    environ: Mapping[str, str] | None = None,
    *,
    orphans: bool = False,
) -> Sample:
    """Run *command* and return its cost; raises CalledProcessError if it fails.

    With *orphans*, the CPU includes that of processes which it leaves behind, and they
    have ended on return. Linux only; this process must have no other children.
    """
    if orphans:
        _adopt_orphans()
    began = time.perf_counter()
    child = subprocess.Popen(
        command, env=clean_environ(environ), cwd="/", stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    with child.stdout as stdout:
        said = stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    with suppress(ChildProcessError):
        while orphans:
            _, _, usage = os.wait4(-1, 0)
            cpu += usage.ru_utime + usage.ru_stime
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Sample(1e3 * cpu, 1e3 * wall, float(said or 0))


def _adopt_orphans() -> None:
    """Become the parent of what children of this process leave behind (prctl(2))."""
    set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def clean_environ(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without variables that change how Python starts."""
    ours = ("PYTHON", "LAZYIMPORT")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | (
        dict(more) if more else {}
    )


def interleave(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    environ: Mapping[str, str] | None = None,
    *,
    fresh: str | None = None,
    orphans: bool = False,
) -> dict[str, list[Sample]]:
    """Run *commands* once per round in random order, after a round for warming up.

    The folder *fresh* is removed before each; *orphans* is as for `run`.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    chance = random.Random(0)
    for count in range(rounds + 1):
        names = chance.sample(list(commands), len(commands))
        for name in names:
            if fresh:
                shutil.rmtree(fresh, ignore_errors=True)
            sample = run(commands[name], environ, orphans=orphans)
            if count:
                samples[name].append(sample)
    return samples


def figure(values: Sequence[float]) -> Figure:
    """Return the median of *values* with its 95 % bootstrap interval."""
    chance = random.Random(0)
    medians = sorted(
        statistics.median(chance.choices(values, k=len(values)))
        for _ in range(_RESAMPLES)
    )
    edge = _RESAMPLES // 40
    return Figure(statistics.median(values), medians[edge], medians[-edge - 1])


def ratios(ones: Sequence[float], others: Sequence[float], less: float = 0) -> Figure:
    """Return ones/others round by round, after subtracting *less* from both."""
    return figure([(a - less) / (b - less) for a, b in zip(ones, others, strict=True)])


def differences(ones: Sequence[float], others: Sequence[float]) -> Figure:
    """Return ones - others round by round."""
    return figure([a - b for a, b in zip(ones, others, strict=True)])


def cpu(samples: Sequence[Sample]) -> list[float]:
    """Return the CPU times of *samples*."""
    return [sample.cpu for sample in samples]


def wall(samples: Sequence[Sample]) -> list[float]:
    """Return the wall times of *samples*."""
    return [sample.wall for sample in samples]


def package() -> str:
    """Return the folder of the lazyimport that is imported here."""
    spec = importlib.util.find_spec("lazyimport")
    assert spec is not None
    assert spec.origin is not None
    return os.path.dirname(spec.origin)


def copy_package(folder: str) -> None:
    """Copy lazyimport without bytecode into *folder*."""
    shutil.copytree(
        package(),
        os.path.join(folder, "lazyimport"),
        ignore=shutil.ignore_patterns("__pycache__"),
    )


def copy_alone(folder: str) -> str:
    """Return a directory that contains lazyimport with fresh bytecode only."""
    target = os.path.join(folder, "alone")
    copy_package(target)
    write_bytecode(target)
    return target


def write_bytecode(folder: str) -> None:
    """Write .pyc files as installers do, so that the comparison is fair."""
    compileall.compile_dir(folder, quiet=2, workers=os.cpu_count() or 1)


def pack_tree(tree: str, cache_dir: str) -> str:
    """Pack *tree* for the running Python into the node cache; return the hash."""
    os.makedirs(cache_dir, mode=0o700, exist_ok=True)
    return pack_roots(
        [tree], Config(), find_interpreters([]), NodeCache(cache_dir)
    ).hash


@contextmanager
def scratch(place: str | None = None) -> Iterator[str]:
    """Yield a temporary directory (in *place*); remove it when nobody uses it any more.

    The fetcher of a node, and the process that makes room in its cache, outlive the
    processes that started them.
    """
    prefix = "lazyimport-benchmark-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        try:
            yield folder
        finally:
            deadline = time.monotonic() + 60
            while _is_used(folder) and time.monotonic() < deadline:
                time.sleep(0.01)


def _is_used(folder: str) -> bool:
    """Tell whether another process names *folder* or has a file there open."""
    inside = os.path.realpath(folder)
    for process in {*glob.glob("/proc/[0-9]*")} - {f"/proc/{os.getpid()}"}:
        with suppress(OSError):
            command = Path(process, "cmdline").read_bytes()
            if os.fsencode(inside) in command:
                return True
            for opened in os.scandir(f"{process}/fd"):
                with suppress(OSError):
                    if os.readlink(opened).startswith(f"{inside}/"):
                        return True
    return False


def print_machine() -> None:
    """Print what `machine` returns."""
    print(machine())


def machine() -> str:
    """Return the Python, the machine and the date: what figures are figures of."""
    today = dt.datetime.now(dt.timezone.utc).date()
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} x {_processor()}, "
        f"{platform.system()} {platform.release()}, {today}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print *rows* as a Markdown table."""
    lines = [list(map(str, row)) for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("| " + " | ".join(cells) + " |")
    sys.stdout.flush()
