"""How long a large file takes to go up to gs://, in parts and in one row.

The service is the stand-in of the tests, of which every connection takes so many bytes
a second and every answer so long. Each row is a process that puts what it is given, as
a push does; its memory is what is its own (anonymous), at most.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks import measure
from tests.fakes.gcs import FakeGcs

#: Bytes a second of one connection, and seconds of an answer.
EACH, ANSWER = 40e6, 0.03
#: Files, bytes of each.
CASES = [(1, 16 << 20), (1, 64 << 20), (1, 512 << 20), (4, 128 << 20)]
SENDER = """
import sys, threading, time
from functools import partial
from lazyimport.stores import open_store
from lazyimport.stores.side_by_side import side_by_side
most, ended = 0, threading.Event()
def look():
    global most
    while not ended.wait(0.01):
        with open("/proc/self/status") as file:
            most = max(most, *(int(line.split()[1]) for line in file if line.startswith("RssAnon")))
store, how, count = open_store("gs://bucket/p"), sys.argv[2], int(sys.argv[3])
list(store.list("nothing"))  # the library is loaded, as it is in a push
thread = threading.Thread(target=look)
thread.start()
def send(number):
    with open(sys.argv[1], "rb") as file:
        if how == "in parts":
            assert store.put_in_parts(f"blobs/{how}{number}", file, 8 // count)
        else:
            assert store.put(f"blobs/{how}{number}", file)
began = time.perf_counter()
side_by_side(*(partial(send, number) for number in range(count)))
seconds = time.perf_counter() - began
ended.set()
thread.join()
print(seconds, most)
"""


def main() -> None:
    options = measure.arguments(__doc__, rounds=3).parse_args()
    measure.print_machine()
    rounds = 1 if options.quick else options.rounds
    rows: list[tuple[object, ...]] = []
    with measure.scratch() as folder:
        for count, size in CASES[: 1 if options.quick else None]:
            path = f"{folder}/file"
            with open(path, "wb") as file:
                file.writelines(os.urandom(1 << 20) for _ in range(size >> 20))
            row: list[object] = [f"{count} of {size >> 20} MiB"]
            for how in ("in a row", "in parts"):
                found = [upload(path, how, count) for _ in range(rounds)]
                row.append(f"{sorted(each[0] for each in found)[rounds // 2]:.2f}")
                row.append(f"{max(each[1] for each in found) / 1000:.0f}")
            rows.append(tuple(row))
    header = ["", "in a row, s", "memory, MB", "in parts, s", "memory, MB"]
    measure.table(header, rows)


def upload(path: str, how: str, count: int) -> tuple[float, int]:
    """Return the seconds and kilobytes of memory of an upload to an empty service."""
    with FakeGcs() as fake:
        fake.each, fake.delay = EACH, ANSWER
        printed = subprocess.run(
            [sys.executable, "-c", SENDER, path, how, str(count)],
            env=measure.clean_environ(fake.environ),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    seconds, most = printed.split()
    return float(seconds), int(most)


if __name__ == "__main__":
    main()
