"""The commands on real trees, in processes, as a person types them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.format.profile import decode
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

HASH_ALONE = re.compile(r"[0-9a-f]{64}\n")
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


class TestPack:
    """`lazyimport pack`."""

    def test_prints_the_hash_and_nothing_else_on_stdout(
        self, cli: CommandLine, project: Path
    ) -> None:
        """So that hash=$(lazyimport pack) is all a script needs."""
        done = cli.run("pack", project)

        assert HASH_ALONE.fullmatch(done.stdout)
        assert "packed 8 modules in 9 files" in done.stderr
        assert f"for Python {PYTHON}: 8 compiled, 0 reused" in done.stderr

    def test_packs_the_current_folder_by_default(
        self, cli: CommandLine, project: Path
    ) -> None:
        assert cli.run("pack", project).stdout == cli.run("pack", cwd=project).stdout

    def test_compiles_what_changed_and_reuses_the_rest(
        self, cli: CommandLine, project: Path
    ) -> None:
        first = cli.run("pack", project)
        (project / "shop/prices.py").write_text("def price(count):\n    return 9\n")
        second = cli.run("pack", project)

        assert first.stdout != second.stdout
        assert "1 compiled, 7 reused" in second.stderr

    def test_quiet_says_nothing_but_the_hash(
        self, cli: CommandLine, project: Path
    ) -> None:
        done = cli.run("pack", project, "-q")

        assert HASH_ALONE.fullmatch(done.stdout)
        assert "" == done.stderr

    def test_warns_of_a_source_that_does_not_compile(
        self, cli: CommandLine, project: Path
    ) -> None:
        """Also when told to be quiet: it will fail when somebody imports it."""
        (project / "shop/bad.py").write_text("def f(:\n")
        done = cli.run("pack", project, "-q")

        assert HASH_ALONE.fullmatch(done.stdout)
        assert "warning: " in done.stderr
        assert "shop/bad.py:1" in done.stderr

    def test_exclude_and_include(self, cli: CommandLine, project: Path) -> None:
        options = (
            "--exclude",
            "*.html",
            "--exclude",
            "de*",
            "--include",
            "shop/deep.py",
        )
        done = cli.run("pack", project, "-q", *options)
        listed = cli.run("ls", "-l", done.stdout.strip()).stdout

        assert "page.html" not in listed
        assert "shop/deep.py" in listed

    def test_no_gitignore(self, cli: CommandLine, project: Path) -> None:
        (project / ".gitignore").write_text("deep.py\n")
        heeding = cli.run("pack", project, "-q").stdout.strip()
        heedless = cli.run("pack", project, "-q", "--no-gitignore").stdout.strip()

        assert "deep.py" not in cli.run("ls", "-l", heeding).stdout
        assert "deep.py" in cli.run("ls", "-l", heedless).stdout

    def test_reads_the_configuration_of_the_first_root(
        self, cli: CommandLine, project: Path
    ) -> None:
        text = '[tool.lazyimport]\noptimize = [0, 2]\nexclude = ["pyproject.toml"]\n'
        (project / "pyproject.toml").write_text(text)
        done = cli.run("pack", project)

        assert f"for Python {PYTHON}, {PYTHON} -OO: 16 compiled" in done.stderr

    def test_cache_dir_may_be_relative(self, cli: CommandLine, project: Path) -> None:
        """Settings want it absolute; whoever types it need not."""
        cli.run("pack", project, "--cache-dir", "near", cwd=cli.folder)

        assert (cli.folder / "near/archives").is_dir()

    def test_output_is_an_archive_that_push_takes(
        self, cli: CommandLine, project: Path
    ) -> None:
        file = cli.folder / "code.lza"
        packed = cli.run("pack", project, "-o", file)
        shutil.rmtree(cli.cache)
        pushed = cli.run("push", file, "--store", cli.url)

        assert packed.stdout == pushed.stdout
        assert str(file) in packed.stderr
        assert "the whole archive" in pushed.stderr

    def test_output_replaces_the_file_whole_or_not_at_all(
        self, cli: CommandLine, project: Path
    ) -> None:
        file = cli.folder / "code.lza"
        file.write_text("before")
        cli.fail("pack", project / "nowhere", "-o", file)
        assert "before" == file.read_text()

        cli.run("pack", project, "-o", file)
        assert [] == list(cli.folder.glob(".code.lza*"))


class TestPush:
    """`lazyimport push`."""

    def test_sends_everything_then_the_difference_then_nothing(
        self, cli: CommandLine, project: Path
    ) -> None:
        options = ("push", project, "--store", cli.url)
        first = cli.run(*options)
        again = cli.run(*options)
        (project / "shop/prices.py").write_text("def price(count):\n    return 9\n")
        changed = cli.run(*options)

        assert HASH_ALONE.fullmatch(changed.stdout)
        assert "the whole archive" in first.stderr
        assert first.stdout == again.stdout
        assert "already there: nothing sent" in again.stderr
        assert f"the difference to {first.stdout[:12]}" in changed.stderr
        assert re.search(r"sent .+ instead of .+kB", changed.stderr)

    def test_takes_the_store_from_the_environment(
        self, cli: CommandLine, project: Path
    ) -> None:
        done = cli.run("push", project, LAZYIMPORT_STORE=cli.url)

        assert cli.stored(done.stdout.strip()).is_file()

    def test_a_store_may_be_a_folder(self, cli: CommandLine, project: Path) -> None:
        """Also one with a percent sign, which a URL would take for an escape."""
        done = cli.run("push", project, "--store", "./a%41 b", cwd=cli.folder)

        assert (cli.folder / "a%41 b/archives" / done.stdout.strip()).is_file()


class TestRun:
    """`lazyimport run`."""

    def test_runs_from_the_store_on_a_node_that_has_nothing(
        self, cli: CommandLine, project: Path
    ) -> None:
        """The whole way: pack, push, another machine, run."""
        name = cli.push(project)
        shutil.rmtree(cli.cache)
        shutil.rmtree(project)
        done = cli.run("run", name, "--store", cli.url, "-m", "shop.main", "a", "--b")

        assert "30 ['a', '--b']\n" == done.stdout
        assert "" == done.stderr

    def test_fetches_once_where_the_cache_takes_nothing(
        self, cli: CommandLine, project: Path
    ) -> None:
        """From memory then, and says so once."""
        (project / "shop/said.py").write_text(
            "import lazyimport\nprint(lazyimport.stats().fetched > 0)\n"
        )
        name = cli.push(project)
        no_place = ("--cache-dir", "/sys/lazyimport")
        done = cli.run("run", name, "--store", cli.url, *no_place, "-m", "shop.said")

        assert "True\n" == done.stdout
        assert 1 == done.stderr.count("runs from memory")

    def test_main_outlives_the_body_of_the_module(
        self, cli: CommandLine, project: Path
    ) -> None:
        """As with ``python -m``: exit handlers pickle what is in it."""
        (project / "shop/late.py").write_text(
            "import atexit, pickle, sys\n"
            "def last(): print(pickle.loads(pickle.dumps(last)) is last, sys.argv)\n"
            "atexit.register(last)\n"
        )
        done = cli.run("run", cli.push(project), "-m", "shop.late", "a")

        assert re.fullmatch(r"True \['/.*/shop/late\.py', 'a'\]\n", done.stdout)

    def test_runs_without_the_store_once_the_node_has_it(
        self, cli: CommandLine, project: Path
    ) -> None:
        name = cli.push(project)
        shutil.rmtree(cli.store)

        assert "30 []\n" == cli.run("run", name, "-m", "shop.main").stdout

    def test_runs_without_the_store_what_was_just_pushed(
        self, cli: CommandLine, project: Path
    ) -> None:
        """Also where the push wrote and sent the difference alone."""
        cli.push(project)
        (project / "shop/prices.py").write_text("def price(count): return count\n")
        name = cli.push(project)
        assert not (cli.cache / "archives" / name).exists()
        shutil.rmtree(cli.store)

        done = cli.run("run", name[:8], "-m", "shop.main")

        assert done.stdout == "3 []\n"
        assert done.stderr == ""
        assert name[:12] in cli.run("show", name).stdout

    def test_what_was_pushed_before_the_last_push_is_asked_of_the_store(
        self, cli: CommandLine, project: Path
    ) -> None:
        names = []
        for number in range(3):
            (project / "shop/prices.py").write_text(
                f"def price(count): return {number}\n"
            )
            names.append(cli.push(project))
        text = cli.fail("run", names[1], "-m", "shop.main")
        assert "LAZYIMPORT_STORE" in text
        done = cli.run("run", names[1], "--store", cli.url, "-m", "shop.main")
        assert done.stdout == "1 []\n"

    def test_the_program_gets_its_arguments_as_they_are(
        self, cli: CommandLine, project: Path
    ) -> None:
        """Options of ours, ``--`` and another ``-m`` are the program's by then."""
        words = ["--store", "x", "--", "-m", "-h", "--verbose", ""]
        done = cli.run("run", cli.push(project), "-m", "shop.main", *words)

        assert f"30 {words}\n" == done.stdout

    def test_module_may_stick_to_its_option(
        self, cli: CommandLine, project: Path
    ) -> None:
        assert (
            "30 ['x']\n" == cli.run("run", cli.push(project), "-mshop.main", "x").stdout
        )

    def test_a_prefix_will_do(self, cli: CommandLine, project: Path) -> None:
        """From the node cache, and from the store where the node has nothing."""
        name = cli.push(project)
        here = cli.run("run", name[:8], "-m", "shop.main")
        shutil.rmtree(cli.cache)
        there = cli.run("run", name[:6].upper(), "--store", cli.url, "-m", "shop.main")

        assert "30 []\n" == here.stdout == there.stdout

    def test_the_program_has_its_own_libraries(
        self, cli: CommandLine, project: Path
    ) -> None:
        """Not the click that has parsed the command line before it."""
        (project / "click.py").write_text("version = 'its own'\n")
        (project / "rich").mkdir()
        (project / "rich/__init__.py").write_text("version = 'its own'\n")
        (project / "shop/asks.py").write_text(
            "import click, rich, sys\n"
            "print(click.version, rich.version, 'click.core' in sys.modules)\n"
        )
        done = cli.run("run", cli.push(project), "-m", "shop.asks")

        assert "its own its own False\n" == done.stdout

    def test_a_process_that_was_activated_has_the_libraries_of_the_command_line(
        self, cli: CommandLine, project: Path
    ) -> None:
        """In a pod LAZYIMPORT_HASH is set, and that archive may have another click."""
        (project / "click.py").write_text(
            "raise SystemExit('the click of the archive')"
        )
        name = cli.push(project)

        done = cli.run("ls", "--cached", LAZYIMPORT_HASH=name)
        assert name in done.stdout
        done = cli.run("run", name, "-m", "shop.main", LAZYIMPORT_HASH=name)
        assert "30 []\n" == done.stdout

    def test_exit_code_is_that_of_the_program(
        self, cli: CommandLine, project: Path
    ) -> None:
        cli.run("run", cli.push(project), "-m", "shop.exits", code=7)

    def test_traceback_shows_the_program_and_nobody_else(
        self, cli: CommandLine, project: Path
    ) -> None:
        """With its source lines, which lie nowhere but in the archive."""
        name = cli.push(project)
        shutil.rmtree(project)
        done = cli.run("run", name, "-m", "shop.broken", code=1)
        files = re.findall(r'File ".*/(\w+/\w+\.py)"', done.stderr)

        assert ["shop/broken.py", "shop/deep.py"] == files
        assert "raise ValueError('on purpose')  # the line" in done.stderr
        assert "runpy" not in done.stderr

    def test_runs_what_is_installed_beside_the_archive(
        self, cli: CommandLine, project: Path
    ) -> None:
        """``-m pytest`` on an archive's package is a usual thing to want."""
        done = cli.run("run", cli.push(project), "-m", "json.tool", "--help")

        assert "usage:" in done.stdout

    def test_says_that_processes_of_the_program_would_not_find_the_archive(
        self, cli: CommandLine, project: Path
    ) -> None:
        words = ["run", cli.push(project), "-m", "shop.main"]
        quiet = cli.run(*words)
        program = (
            f"import sys; sys.path[:0] = {[path for path in sys.path if path]}; "
            f"from lazyimport.cli import main; sys.exit(main({words}))"
        )
        told = subprocess.run(
            [sys.executable, "-S", "-c", program],
            env=cli.environ,
            capture_output=True,
            text=True,
            check=True,
        )

        assert "" == quiet.stderr
        assert "does not read lazyimport.pth" in told.stderr
        assert quiet.stdout == told.stdout

    @pytest.mark.parametrize("flag", ["-E", "-I"])
    def test_a_python_that_ignores_the_environment(
        self, cli: CommandLine, project: Path, flag: str
    ) -> None:
        """So do those that multiprocessing starts, which are told the archive by it."""
        hash_ = cli.push(project)
        told = subprocess.run(
            [
                *(sys.executable, flag, "-m", "lazyimport", "run", hash_),
                *("--cache-dir", cli.cache, "-m", "shop.main"),
            ],
            env=cli.environ,
            capture_output=True,
            text=True,
            check=True,
        )

        assert "processes that shop.main starts do not find the archive" in told.stderr

    def test_the_profile_names_the_module(
        self, cli: CommandLine, project: Path
    ) -> None:
        profile = cli.folder / "start.jsonl"
        words = ("run", cli.push(project), "--profile", profile)
        cli.run(*words, "-m", "shop.main", "--more")

        (start,) = decode(profile.read_bytes())
        assert "shop.main" == start.program

    def test_ctrl_c_ends_the_program(self, cli: CommandLine, project: Path) -> None:
        process = cli.start("run", cli.push(project), "-m", "shop.waits")
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

        assert 130 == process.returncode
        assert "KeyboardInterrupt" in errors
        assert "runpy" not in errors

    def test_in_a_process_that_was_activated_for_another_archive(
        self, cli: CommandLine, project: Path
    ) -> None:
        """In a pod LAZYIMPORT_HASH is set; it is the argument that counts."""
        first = cli.push(project)
        (project / "shop/prices.py").write_text("def price(count):\n    return 9\n")
        second = cli.push(project)
        done = cli.run(
            *("run", second, "--store", cli.store, "-m", "shop.main"),
            LAZYIMPORT_HASH=first,
        )

        assert "9 []\n" == done.stdout


class TestLs:
    """`lazyimport ls` and `lazyimport show`."""

    def test_say_where_an_archive_came_from(
        self, cli: CommandLine, project: Path
    ) -> None:
        """Once: who pushes the same contents later changes nothing."""
        name = cli.push(project, CI_JOB_URL="https://ci.example/1")
        assert cli.push(project, CI_JOB_URL="https://ci.example/2") == name
        shown = cli.run("show", name, "--store", cli.url).stdout

        assert "by https://ci.example/1 with lazyimport" in shown
        assert str(project) in shown

    def test_lists_the_cache_without_a_store(
        self, cli: CommandLine, project: Path
    ) -> None:
        name = cli.push(project)
        done = cli.run("ls")

        assert name in done.stdout
        assert f"1 archive in the node cache {cli.cache}" in done.stderr
        other = cli.run("ls", "--cached", LAZYIMPORT_STORE="gs://nobody/asks")
        assert done.stdout == other.stdout

    def test_lists_the_store(self, cli: CommandLine, project: Path) -> None:
        """As a history: when, what points to it, and who says to have pushed it."""
        name = cli.push(project, CI_JOB_URL="https://ci.example/1")
        for channel in ("prod", "main"):
            cli.run("channel", "set", channel, name, "--store", cli.url)
        cli.run("channel", "rm", "main", "--store", cli.url)
        shutil.rmtree(cli.cache)
        done = cli.run("ls", "--store", cli.url)

        header, row = done.stdout.splitlines()
        assert header.split("WHEN")[1].split() == [
            *("CHANNELS", "BY", "(CLAIMED)", "COMMIT", "(CLAIMED)")
        ]
        when = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
        pattern = rf"{name}  +\d.* kB  {when}  prod +https://ci.example/1"
        assert re.fullmatch(pattern, row)
        assert f"1 archive in {cli.url}" in done.stderr

    def test_a_channel_that_cannot_be_read_hides_no_archive(
        self, cli: CommandLine, project: Path
    ) -> None:
        name = cli.push(project)
        (cli.store / "channels").mkdir()
        (cli.store / "channels/prod.json").write_text("{")
        done = cli.run("ls", "--store", cli.url)

        assert name in done.stdout
        assert "warning: which channels point to what is not shown" in done.stderr

    def test_newest_first_and_not_too_many(
        self, cli: CommandLine, project: Path
    ) -> None:
        names = [cli.push(project)]
        os.utime(cli.stored(names[0]), (1, 1))
        (project / "shop/prices.py").write_text("")
        names.append(cli.push(project))
        both = cli.run("ls", "--store", cli.url)
        one = cli.run("ls", "--store", cli.url, "-n", "1")

        assert names[::-1] == [line[:64] for line in both.stdout.splitlines()[1:]]
        assert [names[1]] == [line[:64] for line in one.stdout.splitlines()[1:]]
        assert "the 1 newest are shown" in one.stderr

    def test_nothing_there(self, cli: CommandLine) -> None:
        done = cli.run("ls")

        assert "" == done.stdout
        assert "no archives in the node cache" in done.stderr

    def test_shows_what_is_in_an_archive(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        here = cli.run("ls", name)

        assert re.search(rf"^shop/ +8 +9 +\S+ kB +{PYTHON}$", here.stdout, re.MULTILINE)
        assert "8 modules in 9 files" in here.stderr

    def test_names_that_the_encoding_of_the_terminal_lacks(
        self, cli: CommandLine, project: Path
    ) -> None:
        (project / "shop/caf\u00e9.txt").write_text("")
        name = cli.push(project)

        done = cli.run("ls", "-l", name, PYTHONIOENCODING="ascii")
        assert r"shop/caf\xe9.txt" in done.stdout

    def test_looks_into_the_store_without_fetching(
        self, cli: CommandLine, project: Path
    ) -> None:
        """The index is enough; the node's disk is not for those who only look."""
        name = cli.push(project)
        here = cli.run("ls", "-l", name)
        shutil.rmtree(cli.cache)
        there = cli.run("ls", "-l", name, "--store", cli.url)

        assert here.stdout == there.stdout
        assert "shop/templates/page.html" in there.stdout
        assert not cli.cache.exists()

    def test_looks_into_a_delta(self, cli: CommandLine, project: Path) -> None:
        cli.push(project)
        (project / "shop/prices.py").write_text("def price(count):\n    return 9\n")
        name = cli.push(project)
        shutil.rmtree(cli.cache)

        assert "shop/" in cli.run("ls", name, "--store", cli.url).stdout

    def test_json_for_scripts(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        store = ("--store", cli.url, "--json")
        (held,) = json.loads(cli.run("ls", *store).stdout)["archives"]
        assert name == held["hash"]
        assert cli.stored(name).stat().st_size == held["size"]
        assert [str(project)] == held["provenance"]["roots"]

        found = json.loads(cli.run("ls", name, *store).stdout)
        assert name == found["hash"]
        sizes = {file["path"]: file["size"] for file in found["files"]}
        assert (project / "shop/prices.py").stat().st_size == sizes["shop/prices.py"]

        shown = json.loads(cli.run("show", name, *store).stdout)
        assert name == shown["hash"]
        assert len(sizes) == shown["files"]
        assert {"shop": ["data"]} == shown["real_files"]
        assert held["provenance"] == shown["provenance"]

        empty = cli.run("ls", "--cached", "--json", "--cache-dir", cli.folder / "none")
        assert {"count": 0, "archives": []} == json.loads(empty.stdout)
        assert "" == empty.stderr

    def test_show_tells_all_about_it(self, cli: CommandLine, project: Path) -> None:
        (project / ".gitignore").write_text("deep.py\n")
        (project / "pyproject.toml").write_text(
            '[project]\nrequires-python = ">=3.10"\n'
        )
        name = cli.push(project)
        lines = cli.run("show", name[:10]).stdout.splitlines()
        shutil.rmtree(cli.cache)
        there = cli.run("show", name, "--store", cli.url).stdout

        assert re.fullmatch(rf"hash +{name}", lines[0])
        text = "\n".join(lines)
        assert "Python >=3.10" in text
        assert f"found in      the node cache {cli.cache}" in text
        assert re.search(r"shop +it has data files", text)
        assert "shop/deep.py  by .gitignore" in text
        assert f"found in      {cli.url}" in there
        # The store knows in addition where the archive came from.
        claims = r"(?m)^as its first push claims \(nothing proves it\):\n(  .*\n)+"
        own, count = re.subn(claims, "", there)
        assert 1 == count
        assert own.split("runs on")[1] == text.split("runs on")[1] + "\n"

    def test_show_says_why_the_node_cache_is_not_packed(
        self, cli: CommandLine, project: Path
    ) -> None:
        inside = ("--cache-dir", project / "cache")
        cli.run("pack", project, *inside)
        name = cli.run("pack", project, *inside).stdout.strip()

        shown = cli.run("show", name, *inside).stdout
        assert re.search(
            r"^  cache/ +because it is the node cache$", shown, re.MULTILINE
        )

    def test_a_reader_who_has_enough_is_no_error(
        self, cli: CommandLine, project: Path
    ) -> None:
        """`lazyimport ls -l HASH | head -1` ends quietly."""
        name = cli.push(project)
        process = cli.start("ls", "-l", name)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "" == process.stderr.read()
        process.stderr.close()
        process.wait(timeout=60)


def test_names_that_a_terminal_would_act_on(cli: CommandLine) -> None:
    """Whoever made the archive chose them; no packing takes such a name."""
    data, name = make_archive({"\x1b[2Jevil.py": "", "a\nb/\u202ec.txt": ""})
    cache = NodeCache(str(cli.cache))
    cache.publish(name, lambda out: out.write(data))

    for command in (["ls", name, "--long"], ["ls", name], ["show", name]):
        lines = cli.run(*command).stdout
        assert lines.replace("\n", "").isprintable()
    assert "\\x1b[2Jevil.py" in cli.run("ls", name, "--long").stdout
