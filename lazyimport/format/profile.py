"""Profiles: what starting processes read from an archive and what that took.

``docs/profiles.md``. A profile is JSON and holds one or several starts, so profiles
are merged by putting their starts together. It orders members and feeds reports;
nothing is trusted because of it.
"""

from __future__ import annotations

from typing import NamedTuple

from lazyimport.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

VERSION = 1
#: Larger files are none of ours: a start has at most so many reads and modules.
MAX_PROFILE = 256 << 20
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
    path: str
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
    recorded for so many *seconds*. *reads* and *modules* are in the order of time, each
    in that of its beginning; *looked* is as `lazyimport.Stats` has it. It is
    *complete* unless there was more than can be recorded.
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


def encode(starts: Iterable[Start]) -> bytes:
    """Return the profile that holds *starts*, as the bytes of a file."""
    import json

    document = {"lazyimport_profile": VERSION, "starts": [*map(_plain, starts)]}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def decode(data: bytes, what: str = "this profile") -> list[Start]:
    """Return the starts in a profile; *what* names it in errors.

    Fields that this version does not know are ignored. Raises SettingsError.
    """
    import json

    try:
        document = json.loads(data)
        version = document["lazyimport_profile"]
        if version != VERSION:
            raise ValueError(f"its version is {version!r}, not {VERSION}")
        return [_start(fields) for fields in document["starts"]]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        why = f"no field {error}" if isinstance(error, KeyError) else error
        raise SettingsError(
            f"{what} is no profile that this lazyimport can read: {why}; record it "
            "again with 'lazyimport run --profile FILE'",
            name="profile",
            value=what,
        ) from error


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of *value* that are not as they are by default."""
    plain: dict[str, Any] = {}
    for name, field in value._asdict().items():
        if field == value._field_defaults.get(name):
            continue
        if isinstance(field, float):
            plain[name] = round(field, 6)
        elif name in {"reads", "modules"}:
            plain[name] = [*map(_plain, field)]
        else:
            plain[name] = field
    return plain


def _start(fields: Any) -> Start:
    start: Start = _filled(Start, fields)
    looked = dict(start.looked)
    if not all(isinstance(text, str) for pair in looked.items() for text in pair):
        raise ValueError("looked must map paths to modules")
    return start._replace(
        reads=[_filled(Read, each) for each in start.reads],
        modules=[_filled(Module, each) for each in start.modules],
        looked=looked,
    )


def _filled(kind: Any, fields: Any) -> Any:
    """Return a *kind* with what *fields* have for it, each of the right type."""
    if not isinstance(fields, dict):
        raise ValueError(f"{kind.__name__} must be an object")  # noqa: TRY004
    value = kind(**{name: fields[name] for name in kind._fields if name in fields})
    for name, field in value._asdict().items():
        default = kind._field_defaults.get(name, "")
        wanted: Any = {float: (int, float), tuple: list}.get(
            type(default), type(default)
        )
        right = isinstance(field, wanted) or field is default
        if not right or (isinstance(field, bool) and wanted is not bool):
            raise ValueError(f"{name} of {kind.__name__} is {field!r}")
    return value
