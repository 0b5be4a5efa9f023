"""Draws docs/recording.svg: real commands of lazyimport in a terminal.

    python .ci/recording.py

Run it when the output of one of the commands changes.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "recording.svg"
WIDTH = 92
FILES = {
    "__init__.py": "",
    "__main__.py": "from shop.cart import total\n\nprint('total:', total([19, 5, 18]))\n",
    "cart.py": "def total(prices):\n    return sum(prices)\n",
}
#: with HASH for the first digits of the newest archive, and OLD for those of the oldest
COMMANDS = [
    "lazyimport push src --with rich --store ./store",
    "sed -i 's/sum(prices)/sum(prices) - 2/' src/shop/cart.py",
    "lazyimport push src --with rich --store ./store",
    "lazyimport ls --store ./store",
    "lazyimport run HASH -m shop",
    "lazyimport run OLD -m shop",
]
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
<title>lazyimport in a terminal: push, change a line, push again, run both versions</title>
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
    """Run the commands and write the picture."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder, "src", "shop")
        sources.mkdir(parents=True)
        for name, text in FILES.items():
            (sources / name).write_text(text, encoding="utf-8")
        hashes: list[str] = []
        for template in COMMANDS:
            command = template
            if hashes:
                command = command.replace("OLD", hashes[0]).replace("HASH", hashes[-1])
            shown = run(command, folder)
            if "push" in command:
                hashes.append(shown.plain.split()[-1][:8])
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            if shown.plain:
                console.print(shown, "", sep="\n", soft_wrap=True)
    svg = console.export_svg(title="lazyimport", theme=THEME, code_format=FORMAT)
    lines = [line.rstrip() for line in svg.splitlines()]
    PICTURE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(command: str, folder: str) -> Text:
    """Return what *command* leaves on a terminal.

    Ends the program if the command fails.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, WIDTH, 0, 0))
    environ = {
        "HOME": folder,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
    }
    child = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end was closed
            break
        output += data
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
