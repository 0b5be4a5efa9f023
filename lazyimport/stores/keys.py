"""What a store is asked: keys, names that all of them can have; ranges; its URL."""

from __future__ import annotations

from lazyimport.errors import SettingsError
from lazyimport.values import redact

#: Longest key, and longest part of a key between two slashes, in UTF-8 bytes.
#: Cloud Storage takes 1024 for a whole name; file systems take 255 for a part,
#: of which a store needs some for the names of its own files.
MAX_KEY = 1024
MAX_PART = 240
#: The options of a URL that say where a bucket is.
_WHERE = ("account_name", "endpoint")
_PORTS = {"http": 80, "https": 443}


def check_key(key: str) -> str:
    """Return *key* if every store can have an object of that name.

    Raises SettingsError, with the reason, otherwise.
    """
    reason = _why_not(key)
    if reason:
        raise SettingsError(f"not a key: {key!r} ({reason})", name="key", value=key)
    return key


def is_key(name: str) -> bool:
    """Return whether `check_key` would accept *name*."""
    return _why_not(name) is None


def check_range(start: int, end: int | None) -> None:
    """Raise SettingsError unless 0 <= *start* <= *end* (or *end* is None)."""
    if start < 0 or (end is not None and end < start):
        raise SettingsError(
            f"not a range of bytes: {start} to {end} (both count from the beginning "
            "of the object, and the end does not come before the start)",
            name="range",
            value=(start, end),
        )


def place_of(url: str) -> str:
    """Return the place that *url* names, in one spelling for all URLs of that place.

    *url* is that of a store, `ReadStore.url`. What only says how to get there is left
    out: users, regions, the order of options.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        parts = (part for part in rest.split("/") if part not in {"", "."})
        return f"file:///{'/'.join(parts)}"
    if scheme in {"http", "https"}:
        return _web_place_of(url)
    path, _, query = rest.partition("?")
    if not query:
        return url
    from urllib.parse import parse_qsl

    found = dict(parse_qsl(query))
    if "endpoint" in found:
        found["endpoint"] = _web_place_of(found["endpoint"])
    where = [f"{name}={found[name]}" for name in _WHERE if found.get(name)]
    return "?".join([f"{scheme}://{path}", *filter(None, ["&".join(where)])])


def _web_place_of(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = "" if parts.port in {None, _PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def not_a_store(url: str, form: str, why: str) -> SettingsError:
    """Return the error for a URL that does not have the *form* it should have."""
    shown = redact(url)
    return SettingsError(
        f"not a store: {shown!r} (write {form}; {why})", name="store", value=shown
    )


def _why_not(key: str) -> str | None:
    if not key:
        return "it is empty"
    if key.startswith("/"):
        return "it begins with a slash; keys are relative to the store"
    if "\\" in key:
        return "it has a backslash, which separates folders on some systems"
    plain = key.isascii() and key.isprintable()  # nearly all are, and a loop is slow
    if not plain and any(character < " " or character == "\x7f" for character in key):
        return "it has a control character"
    for part in key.split("/"):
        if not part:
            return "a part between two slashes is empty"
        if part == "..":
            return "'..' would leave its folder"
        if part.startswith("."):
            return f"{part!r} begins with a dot; stores use such names themselves"
    return _too_long(key)


def _too_long(key: str) -> str | None:
    try:
        name = key.encode()
    except UnicodeEncodeError:
        return "it cannot be encoded as UTF-8"
    if len(name) > MAX_KEY:
        return f"it is {len(name)} bytes long; at most {MAX_KEY} are possible"
    longest = max(map(len, name.split(b"/")))
    if longest > MAX_PART:
        return f"one part is {longest} bytes long; at most {MAX_PART} are possible"
    return None
