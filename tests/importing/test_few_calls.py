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


def test_a_child_costs_nothing_for_files_of_a_folder_that_it_inherits(
    tmp_path: Path,
) -> None:
    """Whether a program is among them is known from the first child on."""
    files = {f"many/data/{number}.txt": "" for number in range(50)}
    hash = pack_tree(write_tree({**FILES, **files}, tmp_path / "tree"), tmp_path / "c")
    start = """
import many, os
os.environ["DATA"] = many.__path__[0] + "/data"
os.system("true")
"""
    program = PROGRAM.replace("import many.second", 'os.system("true")')
    done = from_archive(hash, tmp_path / "c", start + program)
    assert (done.status, done.stderr) == (0, "")
    assert 0 < done.stdout.split().count("decode_row") < 10
