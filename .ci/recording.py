"""Draws the terminals in docs/: real commands of lazyimport, and what they print.

    python .ci/recording.py [recording demo deploying developing]

Run it when the output of one of the commands changes, in an environment with the
extras *dev*, *deploy* and *ray*. The last three need minutes, and start Ray on this
machine.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

CHECKOUT = Path(__file__).parents[1]
WIDTH = 92
FILES = {
    "src/shop/__init__.py": "",
    "src/shop/__main__.py": (
        "from shop.cart import total\n\nprint('total:', total([19, 5, 18]))\n"
    ),
    "src/shop/cart.py": "def total(prices):\n    return sum(prices)\n",
}
#: by the name of the picture: its title, then the commands, with HASH for the first
#: digits of the newest archive that was pushed, and OLD for those of the oldest
SCENES = {
    "recording": (
        "push, change a line, push again, run both versions",
        "lazyimport push src --with rich --store ./store",
        "sed -i 's/sum(prices)/sum(prices) - 2/' src/shop/cart.py",
        "lazyimport push src --with rich --store ./store",
        "lazyimport ls --store ./store",
        "lazyimport run HASH -m shop",
        "lazyimport run OLD -m shop",
    ),
    "demo": ("the demo", "lazyimport demo"),
    "deploying": (
        "deploy, change a line, deploy again, roll back",
        "lazyimport deploy --apply --wait",
        'sed -i \'s/"apple": 30/"apple": 35/\' src/shop/prices.py',
        "lazyimport deploy --apply --wait",
        "curl --silent 'localhost:8000/?fruit=apple&count=3'; echo",
        "lazyimport rollback --apply --wait",
    ),
    "developing": (
        "each change that is saved runs in the living replicas",
        "lazyimport dev",
    ),
}
#: For commands that go on: what they are to say, then what is saved in another
#: terminal meanwhile. At the end they get a Ctrl-C.
MEANWHILE = {
    "lazyimport dev": [
        ("watching", 'sed -i \'s/"apple": 30/"apple": 35/\' src/shop/prices.py'),
        (" runs: ", "sed -i 's/count: int/count int/' src/shop/prices.py"),
        ("serves on", "sed -i 's/count int/count: int/; s/45/50/' src/shop/prices.py"),
        (" runs: ", ""),
    ],
}
#: a dark terminal on any page
THEME = TerminalTheme(
    (22, 27, 38),
    (205, 214, 234),
    [
        (22, 27, 38),
        (240, 113, 120),
        (111, 220, 182),
        (245, 207, 110),
        (134, 168, 255),
        (213, 152, 255),
        (110, 209, 232),
        (205, 214, 234),
    ],
    [(133, 146, 179), *[(238, 242, 251)] * 7],
)
#: one line of colors, without the web font that rich would load from another host
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>lazyimport in a terminal: TITLE</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Draw the pictures that are named, or all."""
    # What runs in the background ignores it, and so would the commands.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in sys.argv[1:] or SCENES:
        with tempfile.TemporaryDirectory(prefix="lz") as folder:
            # Not below the other one: what is in there has names that are too long.
            place = Path(folder, "w")
            place.mkdir()
            if name in ("deploying", "developing"):
                with shop(folder, place) as environ:
                    record(name, str(place), environ)
                continue
            for path, text in FILES.items():
                place.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
                place.joinpath(path).write_text(text, encoding="utf-8")
            record(name, str(place), {})


@contextmanager
def shop(folder: str, place: Path) -> Iterator[dict[str, str]]:
    """Put the example at *place*, start Ray, and yield what finds it."""
    sys.path.insert(0, str(CHECKOUT))
    from tests.support.cluster import Cluster

    shutil.copytree(CHECKOUT / "examples" / "shop", place, dirs_exist_ok=True)
    project = place / "pyproject.toml"
    text = project.read_text("utf-8")
    cluster = Cluster(folder)
    text = text.replace("gs://my-bucket/code", cluster.store)
    project.write_text(text, encoding="utf-8")
    manifest = place / "serve.yaml"
    text = manifest.read_text("utf-8").replace("host: 0.0.0.0", "host: 127.0.0.1")
    store = f"LAZYIMPORT_STORE: {cluster.store}"
    text = text.replace(
        "        LAZYIMPORT_HASH", f"        {store}\n        LAZYIMPORT_HASH"
    )
    manifest.write_text(text, encoding="utf-8")
    try:
        yield {
            "LAZYIMPORT_CACHE_DIR": cluster.cache,
            "LAZYIMPORT_STORE": cluster.store,
            "RAY_DASHBOARD_ADDRESS": cluster.dashboard,
        }
    finally:
        cluster.stop()


def record(name: str, folder: str, environ: dict[str, str]) -> None:
    """Run the commands of a scene in *folder* and write its picture."""
    title, *commands = SCENES[name]
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115
    hashes: list[str] = []
    for template in commands:
        command = template
        if hashes:
            command = command.replace("OLD", hashes[0]).replace("HASH", hashes[-1])
        shown = run(command, folder, environ)
        if "push" in command:
            hashes.append(shown.plain.split()[-1][:8])
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        if shown.plain:
            console.print(shown, "", sep="\n", overflow="fold")
    code = FORMAT.replace("TITLE", title)
    svg = console.export_svg(title="lazyimport", theme=THEME, code_format=code)
    lines = [line.rstrip() for line in svg.splitlines()]
    picture = CHECKOUT / "docs" / f"{name}.svg"
    picture.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(command: str, folder: str, more: dict[str, str]) -> Text:
    """Return what *command* leaves on a terminal, with *more* variables.

    Ends the program if the command fails.
    """
    steps = list(MEANWHILE.get(command, ()))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, WIDTH, 0, 0))
    environ = {
        "HOME": folder,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        **more,
    }
    child = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}" if steps else command],
        cwd=folder,
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output, seen = b"", 0
    while True:
        if select.select([ours], [], [], 1)[0]:
            try:
                output += os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
        elif steps and steps[0][0].encode() in output[seen:]:
            _, saved = steps.pop(0)
            seen = len(output)
            if saved:
                subprocess.run(["/bin/sh", "-c", saved], cwd=folder, check=True)
                output += f"\x1b[2min another terminal: {saved}\x1b[0m\r\n".encode()
            else:
                child.send_signal(signal.SIGINT)
    if child.wait():
        sys.exit(f"{command}: {output.decode()}")
    text = output.decode().replace(folder, "/home/me")
    return Text.from_ansi(screen(text).rstrip("\n"))


def screen(output: str) -> str:
    """Return the lines that are left when cursor movements have had their effect."""
    lines, row = [""], 0
    for part in re.split(r"(\r?\n|\r|\x1b\[\d*[AK]|\x1b\[\?25[hl])", output):
        if part in {"\n", "\r\n"}:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b["):
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\r" or part.endswith("K"):
            lines[row] = ""
        elif not part.startswith("\x1b[?"):
            lines[row] += part
    return "\n".join(lines)


if __name__ == "__main__":
    main()
