"""Print one line for each environment that ran the tests; fail if none did.

tox skips the environments whose Python is missing. Without this, a machine
without any of our Pythons would be green.
"""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET


def main(folder: str) -> int:
    """Read the JUnit files in *folder*, print their sums, and remove them."""
    ran = failed = 0
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        tests, bad, skipped, seconds = sums(path)
        os.remove(path)  # so that the next run cannot count this one
        print(
            f"{name.removesuffix('.xml'):14} {tests - bad - skipped:6} passed "
            f"{bad:4} failed {skipped:4} skipped {seconds:7.1f} s"
        )
        ran += tests - skipped
        failed += bad
    if not ran:
        print(
            "No test ran: tox found no Python from 3.10 to 3.15 on PATH. "
            "Install one (.ci/run fetches those it can) and run tox again.",
            file=sys.stderr,
        )
    return int(failed > 0 or ran == 0)


def sums(path: str) -> tuple[int, int, int, float]:
    """Return tests, failures with errors, skips and seconds of a JUnit file."""
    suites = list(ET.parse(path).getroot().iter("testsuite"))
    tests, failures, errors, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    )
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    return tests, failures + errors, skipped, seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
