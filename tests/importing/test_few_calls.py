"""An import from an archive calls few functions of ours: each costs it time."""

from __future__ import annotations

from pathlib import Path

from tests.support.compare_importers import from_archive, pack_tree, write_tree

FILES = {f"many/{name}.py": "" for name in ("__init__", "first", "second")}
PROGRAM = """
import sys
import many.first

calls = []

def note(frame, event, _):
    if event == "call" and frame.f_globals["__name__"].startswith("lazyimport"):
        calls.append(frame.f_code.co_name)

sys.setprofile(note)
import many.second
sys.setprofile(None)
print(*calls)
"""


def test_an_import_calls_few_functions(tmp_path: Path) -> None:
    """The page of the index has been proved by the import before."""
    hash = pack_tree(write_tree(FILES, tmp_path / "tree"), tmp_path / "cache")
    done = from_archive(hash, tmp_path / "cache", PROGRAM)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.split() == [
        "find_spec",  # of who watches imports
        *("find_spec", "_find_below", "module_spec"),
        *("module", "find", "decode_row", "__init__"),
        "create_module",
        *("get_code", "prepare", "bytecode", "code_member", "member", "read"),
        "promote",
    ]
