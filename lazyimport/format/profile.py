"""Profiles: what starting processes read from an archive and what that took.

``docs/profiles.md``. A profile has a line of JSON for whatever happened, in any number
of starts, so profiles are merged by putting one behind the other. It orders members and
feeds reports; nothing is trusted because of it. `lazyimport.importing.recorder` writes
the lines, which here are read.
"""

from __future__ import annotations

from typing import NamedTuple

from lazyimport.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

VERSION = 1
#: kinds of reads: the bytecode of a module, a file or the listing of a directory, all
#: files of a directory at the top (whose digest is empty)
CODE, FILE, PACKAGE = "code", "file", "package"


class Read(NamedTuple):
    """The first read of something.

    *path* is that in the archive, *digest* the member's in hex digits, *at* the seconds
    from the beginning of the start, and *seconds* what it took to read and prove it,
    with waiting for its arrival.
    """

    kind: str
    path: str = ""
    digest: str = ""
    at: float = 0.0
    seconds: float = 0.0
    size: int = 0


class Module(NamedTuple):
    """The import of one module; times are in seconds.

    *path* is that in the archive, "" for a module from elsewhere, *file* its
    ``__file__``. *parent* is the module that imported it, "" for the program itself or
    what was there before, and *thread* the number of the thread, 0 for the first.

    It began *at* seconds from the beginning of the start and ended *total* later. Of
    that it took itself: *find* to find it, *put* to put its package on disk, *read* to
    read and prove it, *load* to unmarshal (or compile, or link) it, *run* to execute
    its body, *wait* to wait for imports of other threads. The rest is the *total* of
    those whose *parent* it is. From elsewhere, *run* has all of these but *wait*.

    *size* is that of its bytecode, or of its file. It may have *failed*.
    """

    name: str
    path: str = ""
    file: str = ""
    parent: str = ""
    thread: int = 0
    at: float = 0.0
    find: float = 0.0
    put: float = 0.0
    read: float = 0.0
    load: float = 0.0
    run: float = 0.0
    wait: float = 0.0
    total: float = 0.0
    size: int = 0
    failed: bool = False


class Start(NamedTuple):
    """The start of one process, as far as it was recorded.

    *hash* names the archive; *python* is the kind of bytecode, as `Variant.python`
    says, "" if the archive has none for it; *version* the Python itself. It was
    *started* at this time (seconds since 1970), with its archive installed, and
    recorded for so many *seconds*. *reads* and *modules* are in the order in which they
    began; *looked* is as `lazyimport.Stats` has it. It is *complete* unless there was
    more than can be recorded.
    """

    hash: str
    python: str = ""
    version: str = ""
    host: str = ""
    pid: int = 0
    program: str = ""
    started: float = 0.0
    seconds: float = 0.0
    complete: bool = True
    reads: Sequence[Read] = ()
    modules: Sequence[Module] = ()
    looked: Mapping[str, str] = {}


def decode(data: bytes, what: str = "this profile") -> list[Start]:
    """Return the starts in a profile; *what* names it in errors.

    Fields and kinds of lines that this version does not know are ignored, and so is a
    last line of a start that a killed process could not finish. Raises SettingsError.
    """
    starts: list[Start] = []
    is_cut = False
    try:
        for number, text in enumerate(data.splitlines(), 1):
            if not text:
                continue
            line = _line(text)
            if line is not None and "lazyimport_profile" in line:
                starts.append(_begin(line))
            elif is_cut or not starts:
                raise ValueError(f"line {number - is_cut} cannot be read")
            elif line is not None:
                starts[-1] = _with(starts[-1], line)
            is_cut = line is None
        if not starts:
            raise ValueError("it is empty")
    except (ValueError, TypeError, LookupError) as error:
        raise SettingsError(
            f"{what} is no profile that this lazyimport can read: {error}; record it "
            "again with 'lazyimport run --profile FILE'",
            name="profile",
            value=what,
        ) from error
    return [_ordered(start) for start in starts]


def _line(text: bytes) -> dict[str, Any] | None:
    import json

    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _begin(line: dict[str, Any]) -> Start:
    version = line["lazyimport_profile"]
    if version != VERSION:
        raise ValueError(f"its version is {version!r}, not {VERSION}")
    facts = {name: line[name] for name in Start._fields[:7] if name in line}
    start = Start(**facts, reads=[], modules=[], looked={})
    return _checked(start)  # type: ignore[no-any-return]


def _with(start: Start, line: dict[str, Any]) -> Start:
    """Return *start* with what *line* says."""
    reads: Any = start.reads
    modules: Any = start.modules
    looked: Any = start.looked
    if "module" in line:
        modules.append(_filled(Module, {**line, "name": line["module"]}))
    elif "read" in line:
        reads.append(_filled(Read, {**line, "kind": line["read"]}))
    elif "looked" in line:
        looked[str(line["looked"])] = str(line["by"])
    elif "complete" in line:
        return start._replace(complete=False)
    return start


def _ordered(start: Start) -> Start:
    ends = [read.at + read.seconds for read in start.reads]
    ends += [module.at + module.total for module in start.modules]
    return start._replace(
        seconds=max(ends, default=0.0),
        reads=sorted(start.reads, key=lambda read: read.at),
        # of two that begin at once, the first one imports the second
        modules=sorted(start.modules, key=lambda module: (module.at, -module.total)),
    )


def _filled(kind: Any, line: dict[str, Any]) -> Any:
    return _checked(kind(**{name: line[name] for name in kind._fields if name in line}))


def _checked(value: Any) -> Any:
    """Return *value* if each of its fields has the type that it should have."""
    for name, field in value._asdict().items():
        default = value._field_defaults.get(name, "")
        if isinstance(default, (int, float)) and not isinstance(default, bool):
            right = type(field) in {int, float} and 0 <= field < 1 << 53
        else:
            right = isinstance(field, list if default == () else type(default))
        if not right:
            raise ValueError(f"{name} of a {type(value).__name__.lower()} is {field!r}")
    return value
