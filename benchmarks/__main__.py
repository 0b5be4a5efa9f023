"""Write one page with the figures of all benchmarks: ``python -m benchmarks``.

Each script runs with its own command, in a process of its own, for at most
``--minutes``; one that fails, or takes longer, is named on the page. Those that start a
Ray cluster, or take hours, run by their own commands alone.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks import measure, page

#: script -> the rounds of a whole run, and what else it is told
SCRIPTS = {
    "imports": (21, "--peers"),
    "install": (51,),
    "start": (101,),
    "memory": (5,),
    "looks": (15,),
    "change": (),
    "push": (),
    "fetch": (),
    "cold": (11,),
    "simulate": (),
    "cache": (),
    "harm": (),
    "weights": (),
    "uploads": (3,),
    "threshold": (3,),
}


def main() -> None:
    parser = measure.arguments(__doc__, rounds=0)
    parser.add_argument("--only", nargs="*", choices=list(SCRIPTS), default=None)
    parser.add_argument("--out", type=Path, default=Path("benchmarks.html"))
    parser.add_argument(
        "--picture", type=Path, help="also write the imports as a picture (SVG)"
    )
    parser.add_argument("--minutes", type=float, default=20, help="for each script")
    options = parser.parse_args()
    parts: dict[str, tuple[str, str]] = {}
    for name in options.only or SCRIPTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        about = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
        parts[name] = about, run(name, options.rounds, options.quick, options.minutes)
        print(parts[name][1], flush=True)
        options.out.write_text(page.page(measure.machine(), parts), encoding="utf-8")
    print(f"wrote {options.out}", file=sys.stderr)
    if options.picture and "imports" in parts:
        bars = page.tables(parts["imports"][1])[0].bars()
        title = "CPU of importing, with fresh .pyc files in a directory = 1"
        drawing = page.picture(title, measure.machine(), bars)
        options.picture.write_text(drawing + "\n", encoding="utf-8")


def run(name: str, rounds: int, quick: bool, minutes: float) -> str:
    """Return what a script prints."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    default, *more = SCRIPTS[name] or (0,)
    if quick:
        command.append("--quick")
    elif rounds or default:
        command += ["--rounds", str(rounds or default)]
    if not quick:
        command += map(str, more)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * minutes, check=True
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {minutes:g} minutes"
    except subprocess.CalledProcessError as error:
        return f"failed: {error.stderr.strip().splitlines()[-1:] or error}"
    return str(done.stdout)


if __name__ == "__main__":
    main()
