"""What can be typed, and the help for it."""

from __future__ import annotations

import argparse
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, NoReturn

__all__ = ["cut_program", "make_parser"]

_OVERVIEW = """\
Python code out of the image: pack a tree into an archive named by the hash of
what it holds, push it to a store, and run it anywhere by that hash.
"""

_EXAMPLES = """\
a first look, with nothing to configure:
  lazyimport demo

from a project folder into a bucket, and running it from there:
  export LAZYIMPORT_STORE=gs://bucket/code
  hash=$(lazyimport push .)
  lazyimport run "$hash" -m my_project.train --epochs 3

Settings come from options, else from the environment: LAZYIMPORT_STORE,
LAZYIMPORT_CACHE_DIR, LAZYIMPORT_TIMEOUT; packing is configured in
[tool.lazyimport] of the nearest pyproject.toml.
"""

_PACK = """\
Pack folders and files into one archive in the node cache, and print its hash,
alone, on stdout.

A folder with an __init__.py is packed as that package; the contents of any
other folder go to the top of the archive, as if it were on sys.path. Unchanged
sources are not compiled again.
"""

_PACK_EXAMPLES = """\
examples:
  lazyimport pack                           the tree in the current folder
  lazyimport pack src vendor/site-packages  several trees as one
  lazyimport pack --python 3.11 --python 3.12
  lazyimport pack -o code.lza               and a copy to carry elsewhere
  lazyimport pack --exclude 'notebooks/' --exclude '*.csv'
  lazyimport pack app-1.2.tar.gz            a tarball, zip or wheel, or its URL
"""

_PUSH = """\
Pack (see 'lazyimport pack --help') and put the archive into a store. Prints
the hash, alone, on stdout, once the store has it.

Where the store has a similar archive from here, only the difference is sent.
"""

_PUSH_EXAMPLES = """\
examples:
  lazyimport push --store gs://bucket/code
  lazyimport push src --store file:///mnt/shared/code
  lazyimport push code.lza --store gs://bucket/code      what pack -o wrote
  lazyimport push gs://bucket/app.zip --store gs://bucket/code
"""

_MATERIALIZE = """\
Put all files of an archive on disk: for debuggers, coverage, grep, an editor.
Prints the folder, alone, on stdout.

Without DIR they go to the very paths that __file__ and tracebacks name.
"""

_MATERIALIZE_EXAMPLES = """\
examples:
  grep -rn TODO "$(lazyimport materialize 4be81c02)"
  lazyimport materialize 4be81c02 ./as-it-runs --store gs://bucket/code
"""

_RUN = """\
Run a module of an archive as 'python -m' would: fetched if this node does not
have it, imported straight from it, nothing installed.

Everything after the module's name is for the module.
"""

_RUN_EXAMPLES = """\
examples:
  lazyimport run 4be81c02 -m my_project.train --epochs 3
  lazyimport run 4be81c02 --store gs://bucket/code -m pytest --pyargs my_app
  lazyimport run gs://bucket/code/app.zip -m my_project.train
"""

_DEPLOY = """\
Set the hash that an application runs, in the file that you keep: a Serve
config, a RayService (in its serveConfigV2), a RayJob or RayCronJob (in its
runtimeEnvYAML). Nothing else in the file changes.
"""

_DEPLOY_EXAMPLES = """\
examples:
  lazyimport deploy serve.yaml --hash 4be81c02 --diff --dry-run
  lazyimport deploy rayservice.yaml --push src --store gs://bucket/code
  lazyimport deploy serve.yaml --hash 4be81c02 --apply --wait
"""

_ROLLBACK = """\
Set the hash that an application ran before: as this machine deployed it, else
as git has it. Without FILE, in a running cluster alone.
"""

_CHECK = """\
Import from an archive what a worker will import first, in a clean Python with
only what is installed for it: a missing dependency, a syntax error, a policy
that Serve's controller could not load are found here, not in the cluster.
"""

_CHECK_EXAMPLES = """\
examples:
  lazyimport check 4be81c02 my_app.serve:app
  lazyimport check 4be81c02 my_app.serve:app --check-python /opt/bin/python
"""

_STATUS = """\
Which hash every actor, Serve replica and job of a cluster runs.
"""

_LS = """\
Without a hash: the archives in the store, newest first; in the node cache if
no store is named. With one: what is in that archive.
"""

_LS_EXAMPLES = """\
examples:
  lazyimport ls --store gs://bucket/code
  lazyimport ls 4be81c02
  lazyimport ls 4be81c02 --long | grep template
  lazyimport ls 4be81c02 --shadowed             in the image it is to run in
"""

_SHOW = """\
Everything about one archive: its Pythons, its sizes, which packages become
real files on the node and why, and what was left out by which rule.
"""

_CACHE = """\
The node cache: what is in it, whether it is sound, and making room. Archives
that a living process uses are never removed, except by 'clear --force'.

  ls      the archives, the last used first
  verify  check every byte; remove what is damaged, so that it comes anew
  prune   drop what was not used for longest, until the rest fits the limit
  clear   remove everything
"""

_CACHE_EXAMPLES = """\
examples:
  lazyimport cache ls
  lazyimport cache prune --limit 5GiB --dry-run
  lazyimport cache prune --limit off --older-than 30d
  lazyimport cache verify --json
"""

_CHANNEL = """\
A channel is a name in the store that means an archive: 'prod', 'main', a
branch. It can be changed, and remembers who changed it, when, and to what.
Wherever a command takes a hash it takes the name of a channel as well.
"""

_CHANNEL_EXAMPLES = """\
examples:
  lazyimport channel set prod 4be81c02 -m 'the fix for the cart'
  lazyimport channel log prod
  lazyimport channel rollback prod       what it meant before
  lazyimport channel rollback prod 12    what it meant from change 12 on
  export LAZYIMPORT_HASH=$(lazyimport channel get prod)
"""

_GC = """\
Delete from the store what nobody needs. Without --delete, print what would go,
and what speaks for the rest.

Never goes: what a channel means, the base of an archive that stays, and what
was pushed within the last hour. An archive goes if it is older than
--older-than and nothing else speaks for it. Hashes in manifests are not known
to the store: name them with --keep or --keep-from.
"""

_GC_EXAMPLES = """\
examples:
  lazyimport gc --store gs://bucket/code
  lazyimport gc --keep-last 20 --older-than 90d --delete
  kubectl get rayservice,rayjob -Ao yaml | lazyimport gc --keep-from - --delete
"""

_KEYGEN = """\
Make an Ed25519 key: FILE for who signs (--sign FILE, LAZYIMPORT_SIGNING_KEY),
and FILE.pub for who checks (LAZYIMPORT_TRUSTED_KEYS). Prints the public key.
A key from 'ssh-keygen -t ed25519' serves as well, with a passphrase too.
"""

_KEYGEN_EXAMPLES = """\
examples:
  lazyimport keygen ~/.ssh/lazyimport
  lazyimport push src --sign ~/.ssh/lazyimport --channel prod
  export LAZYIMPORT_TRUSTED_KEYS="$(cat ~/.ssh/lazyimport.pub)"
"""

_DEMO = """\
See it work on this machine: a real application goes into an archive, runs in a
local Ray that has never seen its code, is edited, runs in both versions side
by side, and is rolled back. Takes about a minute, needs no network, and
removes everything it made.
"""

_DEMO_EXAMPLES = """\
examples:
  lazyimport demo
  lazyimport demo --store gs://bucket/anywhere    the same against a bucket
"""


class _Parser(argparse.ArgumentParser):
    """A parser that says in two lines what was wrong, and what may be meant.

    Options are not shortened: what a script wrote would mean something else, or
    nothing, once there are more of them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self.suggest_on_error = False  # Python 3.15 would; this does on all
        self._first = ""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse as the base class does, but let a command know its own mistakes."""
        self._first = next(iter(args or ()), "")
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = self._nearest(unknown, self._option_string_actions)
            if self.prog.endswith(" run") and unknown[0][0] != "-":
                near = f"; a module is named with -m {unknown[0]}"
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say what was wrong, and exit with code 2."""
        wrong = re.search("invalid choice: '([^']*)'", message)
        if wrong:
            known = [str(c) for action in self._actions for c in action.choices or ()]
            message += self._nearest([wrong[1]], known)
            if self._first.startswith("-") and wrong[1] != self._first:
                message += "; options of a command follow its name"
        lines = [message, f"see '{self.prog} --help'"]
        self.exit(2, "".join(f"lazyimport: {line}\n" for line in lines))

    @staticmethod
    def _nearest(words: Sequence[str], known: Iterable[str]) -> str:
        from difflib import get_close_matches

        near = [n for word in words for n in get_close_matches(word, known, 1)]
        return f"; did you mean {', '.join(near)}?" if near else ""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; what it gives has ``command`` to be called with it."""
    parser = _Parser(prog="lazyimport", description=_OVERVIEW, epilog=_EXAMPLES)
    parser.add_argument("--version", action=_Version)
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks of expected errors too"
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="name")

    command = _add(commands, "pack", "a tree into an archive", _PACK, _PACK_EXAMPLES)
    _add_roots(
        command,
        "ROOT",
        "folder or file to pack (default: .), or one zip, wheel or tarball",
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", help="write the compressed archive here too"
    )
    _add_packing(command)
    _add_cache(command)

    command = _add(commands, "push", "a tree into a store", _PUSH, _PUSH_EXAMPLES)
    _add_roots(
        command,
        "ROOT|ARCHIVE",
        "folder or file to pack (default: .), or one file that 'pack -o' wrote, or one "
        "zip, wheel or tarball",
    )
    command.add_argument(
        "--channel", metavar="NAME", help="then let this channel mean the archive"
    )
    _add_message(command)
    _add_sign(command)
    _add_packing(command)
    _add_check(command, "import it from the archive before that is sent")
    _add_store(command)
    _add_cache(command)

    _add_deployment(commands)

    command = _add(commands, "run", "a module of an archive", _RUN, _RUN_EXAMPLES)
    command.usage = "lazyimport run HASH [options] -m MODULE [ARGUMENT...]"
    _add_hash(command)
    _add_store(command)
    _add_cache(command)
    command.add_argument(
        "-m",
        dest="module",
        metavar="MODULE",
        help="the module to run, with all that follows as its own arguments",
    )

    _add_ls(commands)

    command = _add(commands, "show", "all about one archive", _SHOW, "")
    _add_hash(command)
    _add_json(command)
    _add_store(command)
    _add_cache(command)

    command = _add(
        commands, "materialize", "the tree on disk", _MATERIALIZE, _MATERIALIZE_EXAMPLES
    )
    _add_hash(command)
    command.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        help="where to put it (default: where __file__ of its modules points)",
    )
    _add_store(command)
    _add_cache(command)

    _add_cache_command(commands)
    _add_gc(commands)
    _add_channel(commands)
    _add_keygen(commands)

    command = _add(commands, "demo", "see it work, now", _DEMO, _DEMO_EXAMPLES)
    _add_store(command, default="a folder that is removed afterwards")
    command.add_argument(
        "--workers",
        choices=("auto", "ray", "processes"),
        default="auto",
        help="what runs the code: Ray, or plain Python processes where Ray is not "
        "installed (default: auto)",
    )
    return parser


def cut_program(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return *argv* up to the module of ``run ... -m MODULE``, and what follows.

    argparse would take ``--`` and options out of the program's own arguments.
    """
    words = list(argv)
    if next((word for word in words if not word.startswith("-")), None) == "run":
        for number, word in enumerate(words):
            if word.startswith("-m"):
                end = number + (2 if word == "-m" else 1)
                return words[:end], words[end:]
    return words, []


def _add(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    short: str,
    description: str,
    examples: str,
) -> _Parser:
    parser = commands.add_parser(
        name,
        help=short,
        description=description,
        epilog=examples,
    )
    _add_debug(parser)

    def command(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        module = import_module(f"lazyimport.cli.commands.{name}")
        return int(module.run(arguments))

    parser.set_defaults(command=command)
    return parser


def _add_debug(parser: _Parser) -> None:
    parser.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show tracebacks of expected errors too",
    )


def _add_deployment(
    commands: argparse._SubParsersAction[_Parser],
) -> None:
    command = _add(
        commands, "deploy", "a hash in a manifest", _DEPLOY, _DEPLOY_EXAMPLES
    )
    _add_manifest(command)
    command.add_argument(
        "--hash",
        metavar="HASH",
        help="the archive to run: 64 hex digits, or the first six or more",
    )
    command.add_argument(
        "--channel",
        metavar="NAME",
        help="the archive that this channel names now; the manifest gets its hash",
    )
    command.add_argument(
        "--push",
        action="append",
        metavar="ROOT",
        help="pack this folder or file, push it, and deploy what it gives; may be "
        "repeated",
    )
    _add_packing(command)
    _add_sign(command)
    _add_store(command)
    _add_cache(command)

    _add_check(
        command,
        "import it from the archive first (without a name: the import_path in FILE)",
        nargs="?",
        const="",
    )

    command = _add(
        commands, "check", "an import, before it runs", _CHECK, _CHECK_EXAMPLES
    )
    _add_hash(command)
    command.add_argument(
        "entries",
        nargs="+",
        metavar="MODULE:ATTR",
        help="what to import: a Serve application, or any module",
    )
    _add_check_python(command)
    _add_store(command)
    _add_cache(command)

    command = _add(commands, "rollback", "to the hash before", _ROLLBACK, "")
    _add_manifest(command, optional=True)
    command.add_argument("-q", "--quiet", action="store_true", help="warnings only")
    _add_cache(command)

    command = _add(commands, "status", "which hash runs where", _STATUS, "")
    _add_address(command)
    command.add_argument("-l", "--long", action="store_true", help="whole hashes")
    _add_json(command)


def _add_cache_command(
    commands: argparse._SubParsersAction[_Parser],
) -> None:
    command = _add(commands, "cache", "the node cache", _CACHE, _CACHE_EXAMPLES)
    command.add_argument("action", choices=("ls", "verify", "prune", "clear"))
    command.add_argument(
        "--limit",
        type=_limit,
        metavar="SIZE",
        help="prune: how much may stay, such as 20GiB, or off (default: "
        "$LAZYIMPORT_CACHE_LIMIT, or a quarter of the disk)",
    )
    command.add_argument(
        "--older-than",
        type=_duration,
        metavar="AGE",
        help="prune: drop what was not used for so long, such as 12h, 30d or 8w",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="prune, verify: say what would be removed, and remove nothing",
    )
    command.add_argument(
        "--force", action="store_true", help="clear: what is in use too"
    )
    _add_json(command)
    _add_cache(command)


def _limit(text: str) -> str:
    from lazyimport.errors import SettingsError
    from lazyimport.values import byte_count

    try:
        byte_count(text)
    except SettingsError:
        raise argparse.ArgumentTypeError(
            f"not a size such as 20GiB or 500MB, or off: {text!r}"
        ) from None
    return text


def _duration(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0 <= seconds < 1e12:
        raise argparse.ArgumentTypeError(f"not an age such as 12h, 30d or 8w: {text!r}")
    return seconds


def _add_ls(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = _add(commands, "ls", "archives, or what is in one", _LS, _LS_EXAMPLES)
    _add_hash(command, optional=True)
    command.add_argument("-l", "--long", action="store_true", help="every file")
    command.add_argument(
        "--shadowed",
        action="store_true",
        help="the names of HASH that can be imported from elsewhere too, in the Python "
        "that runs this",
    )
    command.add_argument(
        "--cached",
        action="store_true",
        help="list the node cache, also where LAZYIMPORT_STORE names a store",
    )
    command.add_argument(
        "-n",
        type=_count,
        default=20,
        dest="limit",
        metavar="N",
        help="list at most N archives (default: 20; 0 means all)",
    )
    _add_json(command)
    _add_store(command)
    _add_cache(command)


def _add_roots(parser: _Parser, name: str, text: str) -> None:
    parser.add_argument("roots", nargs="*", metavar=name, help=text)


def _add_hash(parser: _Parser, *, optional: bool = False) -> None:
    parser.add_argument(
        "hash",
        nargs="?" if optional else None,
        metavar="HASH",
        help="64 hex digits as 'push' prints them, or the first six or more if only "
        "one archive begins so; or the name of a channel; or the path or URL of a "
        "zip, wheel or tarball",
    )


def _add_channel(commands: argparse._SubParsersAction[_Parser]) -> None:
    short = "names for archives, with their history"
    parser = _add(commands, "channel", short, _CHANNEL, _CHANNEL_EXAMPLES)
    actions = parser.add_subparsers(
        title="actions", metavar="ACTION", dest="action", required=True
    )

    def add(name: str, text: str, channel: str | None = "channel") -> _Parser:
        action = actions.add_parser(
            name, help=text, description=f"{text.capitalize()}."
        )
        _add_debug(action)
        if channel:
            action.add_argument(channel, metavar="NAME", help="name of the channel")
        _add_store(action)
        _add_cache(action)
        return action

    command = add("set", "let a channel mean an archive")
    _add_hash(command)
    _add_message(command)
    _add_sign(command)
    add("get", "print the hash that a channel means")
    _add_json(add("log", "what a channel meant, the newest change first"))
    command = add("rollback", "let a channel mean again what it meant before")
    command.add_argument(
        "to",
        nargs="?",
        metavar="N|HASH",
        help="number of a change as 'log' prints it, or a hash from there (default: "
        "the last archive before this one)",
    )
    _add_message(command)
    _add_sign(command)
    _add_json(add("ls", "the channels in the store", None))
    command = add("rm", "let a channel mean nothing; its history stays")
    _add_message(command)
    _add_sign(command)


def _add_keygen(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(commands, "keygen", "a key to sign with", _KEYGEN, _KEYGEN_EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="where to put the private key")


def _add_gc(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(
        commands, "gc", "delete from the store what is old", _GC, _GC_EXAMPLES
    )
    parser.add_argument(
        "--older-than",
        type=_duration,
        default=30 * 86400.0,
        metavar="AGE",
        help="keep what is younger: 12h, 30d, 8w (default: 30d; at least 1h)",
    )
    parser.add_argument(
        "--keep-last",
        type=_count,
        default=0,
        metavar="N",
        help="keep the N newest, whatever their age",
    )
    parser.add_argument(
        "--keep-channel",
        action="append",
        default=[],
        metavar="NAME|all",
        help="keep also what this channel meant before, for rollback; may be repeated "
        "(default: all)",
    )
    parser.add_argument(
        "--history",
        type=_count,
        default=5,
        metavar="N",
        help="how many of the last changes of such a channel count (default: 5)",
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="HASH",
        help="keep this archive; may be repeated",
    )
    parser.add_argument(
        "--keep-from",
        action="append",
        default=[],
        metavar="FILE",
        help="keep every archive whose hash stands in this file, such as a manifest "
        "('-': standard input); may be repeated",
    )
    parser.add_argument("--delete", action="store_true", help="do it")
    _add_json(parser)
    _add_store(parser)
    _add_cache(parser)


def _add_json(parser: _Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def _add_message(parser: _Parser) -> None:
    parser.add_argument(
        "-m", "--message", default="", metavar="TEXT", help="why, for 'channel log'"
    )


def _add_sign(parser: _Parser) -> None:
    parser.add_argument(
        "--sign",
        metavar="KEYFILE",
        help="sign with this Ed25519 key (default: $LAZYIMPORT_SIGNING_KEY, a file or "
        "the key itself)",
    )


def _add_manifest(parser: _Parser, *, optional: bool = False) -> None:
    parser.add_argument(
        "file",
        nargs="?" if optional else None,
        metavar="FILE",
        help="the manifest, YAML or JSON",
    )
    parser.add_argument(
        "--app",
        action="append",
        default=[],
        metavar="NAME",
        help="which application, where the file has several; may be repeated",
    )
    parser.add_argument(
        "--diff", action="store_true", help="print what changes, on stdout"
    )
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="change neither the file nor the cluster; --push sends all the same",
    )
    group = parser.add_argument_group("rolling out")
    group.add_argument(
        "--apply",
        action="store_true",
        help="give it to the cluster: a Serve config to --address, objects of "
        "Kubernetes to kubectl",
    )
    group.add_argument(
        "--prefetch",
        action="store_true",
        help="first bring the archive to every node of the cluster, by a job there",
    )
    group.add_argument(
        "--wait",
        action="store_true",
        help="follow it until every replica runs the hash, or say why not",
    )
    _add_address(group)
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=600.0,
        metavar="SECONDS",
        help="give up waiting after this time (default: 600)",
    )


def _add_check(parser: _Parser, text: str, **options: str) -> None:
    parser.add_argument(
        "--check",
        metavar="MODULE:ATTR",
        help=f"{text}, in a clean Python",
        **options,  # type: ignore[arg-type]
    )
    _add_check_python(parser)


def _add_check_python(parser: _Parser) -> None:
    parser.add_argument(
        "--check-python",
        metavar="PATH",
        help="the interpreter that stands for the image: what is installed for it, and "
        "nothing else (default: the one that runs lazyimport)",
    )


def _add_address(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--address",
        metavar="URL",
        help="Ray's dashboard (default: $RAY_DASHBOARD_ADDRESS, or "
        "http://localhost:8265)",
    )


def _add_store(parser: _Parser, default: str = "$LAZYIMPORT_STORE") -> None:
    parser.add_argument(
        "--store",
        metavar="URL",
        help="gs://bucket/prefix, s3://, az://, https://, file:///folder or a folder "
        f"(default: {default})",
    )


def _add_cache(parser: _Parser) -> None:
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="the node cache (default: $LAZYIMPORT_CACHE_DIR, or lazyimport in "
        "$XDG_CACHE_HOME or ~/.cache)",
    )


def _add_packing(parser: _Parser) -> None:
    group = parser.add_argument_group("packing")
    group.add_argument(
        "--python",
        action="append",
        metavar="X.Y|PATH",
        help="bring bytecode for this Python; may be repeated (default: as "
        "configured, else the Python that runs lazyimport)",
    )
    group.add_argument(
        "--optimize",
        action="append",
        type=int,
        choices=(0, 1, 2),
        metavar="N",
        help="at this level: 0, 1 (python -O) or 2 (-OO); may be repeated",
    )
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out what matches, as in .gitignore; may be repeated",
    )
    group.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="keep what matches, whatever rule drops it; may be repeated",
    )
    group.add_argument(
        "--no-gitignore", action="store_true", help="do not heed .gitignore files"
    )
    group.add_argument(
        "--with",
        action="append",
        default=[],
        dest="installed",
        metavar="NAME",
        help="take along a distribution that is installed here, with its metadata "
        "and without its dependencies; may be repeated",
    )
    group.add_argument(
        "--wheel",
        action="append",
        default=[],
        metavar="FILE",
        help="take along what a wheel holds; may be repeated",
    )
    group.add_argument(
        "--requirements",
        action="append",
        default=[],
        metavar="FILE",
        help="take along what pip (or uv) installs for this file; may be repeated",
    )
    group.add_argument(
        "--platform",
        metavar="TAG",
        help="resolve --requirements for this platform and the older ones it runs, "
        "such as manylinux_2_28_x86_64 (default: this machine's)",
    )
    group.add_argument(
        "--no-stat-cache",
        action="store_true",
        help="read every file again, also where size, times and inode say that it is "
        "what it was the last time",
    )
    group.add_argument(
        "-j",
        "--jobs",
        type=_count,
        metavar="N",
        help="compile in N processes at once (default: one for each CPU)",
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", help="print the hash and warnings only"
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number: {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds: {text!r}")
    return value


class _Version(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(
            option_strings, dest, nargs=0, help="show version, Python and format"
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from lazyimport.format.header import VERSION
        from lazyimport.registry.provenance import own_version

        own = own_version()
        python = sys.version.split()[0]
        print(f"lazyimport {own}, Python {python}, archive format {VERSION}")
        parser.exit()
