"""Values as people and files write them: hashes, channels, URLs."""

from __future__ import annotations

from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Any

_ARTIFACTS = (".zip", ".whl", ".tar.gz", ".tgz", ".tar.zst")
_DIGITS = "0123456789abcdefABCDEF"
#: Hexadecimal digits that are at least needed for the beginning of a hash.
SHORTEST_PREFIX = 6
ON_WINDOWS = (
    "lazyimport runs on Linux and macOS, and not on Windows itself: install and call it "
    "in WSL, the Linux in Windows (wsl --install)"
)
#: What to do where another project has written over a module of this package.
OVERWRITTEN = (
    "was the distribution 'lazyimport', which is another project, installed over "
    "ray-lazyimport? Then type: pip uninstall -y lazyimport ray-lazyimport, and install "
    "ray-lazyimport again"
)


def strangers(environ: Iterable[bytes], known: Container[str]) -> bool:
    """Return whether *environ* has a variable of our prefix that is not *known*."""
    ours = [name for name in environ if name[:11] == b"LAZYIMPORT_"]
    return any(str(name, "utf-8", "replace") not in known for name in ours)


class Value:
    """An immutable object that equals another if their slots do.

    A subclass names its attributes in ``__slots__``, in the order of its arguments,
    and sets all of them in ``__init__``, once, with `_set`.
    """

    __slots__: tuple[str, ...] = ()

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(
            f"{type(self).__name__} is immutable: cannot delete {name!r}"
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def __repr__(self) -> str:
        pairs = zip(self.__slots__, self._values(), strict=True)
        fields = ", ".join(f"{name}={value!r}" for name, value in pairs)
        return f"{type(self).__name__}({fields})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)


def check_hash(value: str) -> str:
    """Return *value* in lower case if it is an archive's hash: 64 hex digits.

    Raises SettingsError otherwise.
    """
    text = value.strip().lower() if isinstance(value, str) else ""
    if not is_sha256(text):
        raise errors.SettingsError(
            f"not an archive's hash: {value!r} (a hash is 64 hex digits, as "
            "'lazyimport push' prints it; set LAZYIMPORT_HASH or pass hash=)",
            name="hash",
            value=value,
        )
    return text


def check_channel(name: str) -> str:
    """Return *name* if a channel may have it.

    1 to 64 of the characters a-z A-Z 0-9 . _ - with a letter or digit first, but
    not six or more hexadecimal digits alone. Raises SettingsError otherwise.
    """
    why = ""
    plain = name.replace(".", "").replace("-", "").replace("_", "")
    if len(name) > 64 or not (plain.isascii() and plain.isalnum()):
        why = "it has 1 to 64 letters, digits, dots, dashes and underscores"
    elif name[0] in "._-":
        why = "it begins with a letter or digit"
    elif is_prefix(name):
        why = "six or more hexadecimal digits would be the beginning of a hash"
    if why:
        raise errors.SettingsError(
            f"not the name of a channel: {name!r} ({why}; set LAZYIMPORT_CHANNEL or "
            "pass channel=)",
            name="channel",
            value=name,
        )
    return name


def is_prefix(text: str) -> bool:
    """Whether *text* is taken for the beginning of a hash, or for all of one."""
    return len(text) >= SHORTEST_PREFIX and is_hex(text)


def is_hex(text: str) -> bool:
    """Return whether *text* has hexadecimal digits and nothing else."""
    return not text.strip(_DIGITS)


def is_sha256(text: str) -> bool:
    """Return whether *text* is 64 hexadecimal digits."""
    return len(text) == 64 and is_hex(text)


def artifact_suffix(name: str) -> str:
    """Return how *name* ends, in lower case, if artifacts end like that; else ""."""
    return next((end for end in _ARTIFACTS if name.lower().endswith(end)), "")


def file_url(path: str) -> str:
    """Return the URL of an absolute *path* on this machine."""
    return "file://" + path.replace("%", "%25")


def shown(text: str) -> str:
    """Return *text* as a message may have it: on one line, and with no escapes."""
    return text if text.isprintable() else ascii(text)


def escaped(text: str) -> str:
    """Return *text*, which anybody may have written, on one line without escapes."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def redact(url: str) -> str:
    """Return *url* without what may be a secret: user, password and query.

    A password that should have been escaped may have any character in it, so where
    one is possible everything up to the last ``@`` goes.
    """
    scheme, separator, rest = url.partition("://")
    if not scheme.isalnum() or not separator:
        scheme, separator, rest = "", "", url
    start = rest.partition("/")[0]
    before, at, after = rest.rpartition("@")
    if at and (scheme.lower() in {"http", "https"} or "@" in start or ":" in start):
        rest = f"***@{after}" if "/" in before else after
        if "?" in before:  # in a password, or a query with an @ in it
            rest = "***"
    return scheme + separator + rest.partition("?")[0]
