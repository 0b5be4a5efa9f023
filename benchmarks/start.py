"""The cost for a Python process of having lazyimport installed without using it.

`python -I -c pass` runs in two virtual environments in turn, without LAZYIMPORT_HASH.
One of them has what the wheel puts into site-packages. The table also names the modules
that are loaded there and not in the other.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys

from benchmarks import measure

_MODULES = "import sys; print(*sorted(sys.modules))"
_PLACE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def main() -> None:
    parser = measure.arguments(__doc__, rounds=401)
    parser.add_argument(
        "--python", nargs="*", default=[sys.executable], help="interpreters to measure"
    )
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    measure.print_machine()
    rows = []
    for python in options.python:
        with measure.scratch() as folder:
            rows.append(row(python, folder, rounds))
    print(f"{rounds} rounds; the difference is taken round by round")
    measure.table(
        ["", "without, ms CPU", "more with, ms CPU", "more with, ms", "modules"], rows
    )


def row(python: str, folder: str, rounds: int) -> tuple[object, ...]:
    """Return the row of *python*: its start without and with lazyimport."""
    version = ask(python, "import platform; print(platform.python_version())")
    commands = {}
    modules = {}
    for name in ("without", "with"):
        path = os.path.join(folder, name)
        subprocess.check_call(
            [python, "-m", "venv", "--without-pip", path],
            env=measure.clean_environ(),
        )
        command = [os.path.join(path, "bin", "python"), "-I", "-c"]
        if name == "with":
            install(ask(command[0], _PLACE), command[0])
        commands[name] = [*command, "pass"]
        modules[name] = set(ask(command[0], _MODULES).split())
    samples = measure.interleave(commands, rounds)
    ones, others = samples["with"], samples["without"]
    return (
        version,
        f"{statistics.median(measure.cpu(others)):.1f}",
        measure.differences(measure.cpu(ones), measure.cpu(others)),
        measure.differences(measure.wall(ones), measure.wall(others)),
        " ".join(sorted(modules["with"] - modules["without"])) or "none",
    )


def install(place: str, python: str) -> None:
    """Put what the wheel contains into the site-packages *place*, with bytecode."""
    package = measure.package()
    for folder in (
        os.path.dirname(package),
        os.path.join(os.path.dirname(package), "activation"),
    ):
        if os.path.exists(os.path.join(folder, "lazyimport.pth")):
            shutil.copy(os.path.join(folder, "lazyimport.pth"), place)
    measure.copy_package(place)
    subprocess.check_call(
        [python, "-m", "compileall", "-q", place], env=measure.clean_environ()
    )


def ask(python: str, code: str) -> str:
    """Return what *python* prints when it runs *code*."""
    return subprocess.check_output(
        [python, "-I", "-c", code], env=measure.clean_environ(), text=True
    ).strip()


if __name__ == "__main__":
    main()
