"""Settings: one immutable value, from environment variables and overrides."""

from __future__ import annotations

from lazyimport.lazy import Later, errors
from lazyimport.values import Value, check_channel, check_hash, file_url, redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from typing import Any

    from lazyimport import environment, units
else:
    # Few name anything but a hash and a store.
    environment, units = Later("environment"), Later("units")

#: setting -> environment variable, in the order of the arguments of Settings
ENVIRONMENT = {
    "hash": "LAZYIMPORT_HASH",
    "store": "LAZYIMPORT_STORE",
    "cache_dir": "LAZYIMPORT_CACHE_DIR",
    "cache_mode": "LAZYIMPORT_CACHE_MODE",
    "policy": "LAZYIMPORT_POLICY",
    "timeout": "LAZYIMPORT_TIMEOUT",
    "cache_limit": "LAZYIMPORT_CACHE_LIMIT",
    "channel": "LAZYIMPORT_CHANNEL",
    "trusted_keys": "LAZYIMPORT_TRUSTED_KEYS",
    "artifact": "LAZYIMPORT_ARTIFACT",
    "verify": "LAZYIMPORT_VERIFY",
    "gc": "LAZYIMPORT_GC",
    "connections": "LAZYIMPORT_CONNECTIONS",
    "require_signature": "LAZYIMPORT_REQUIRE_SIGNATURE",
    "channel_minimum": "LAZYIMPORT_CHANNEL_MINIMUM",
    "files": "LAZYIMPORT_FILES",
    "digests": "LAZYIMPORT_DIGESTS",
    "live": "LAZYIMPORT_LIVE",
    "fetch": "LAZYIMPORT_FETCH",
    "profile": "LAZYIMPORT_PROFILE",
}
CACHE_MODES = ("raw", "zstd", "memory")
_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")
FILES = ("looked", "all")
POLICIES = ("archive", "path", "refuse")
_STORE = "a store is a URL such as gs://bucket/prefix or file:///folder"
_ARTIFACT = "an artifact is a URL such as gs://bucket/app.zip or file:///folder/app.whl"
VERIFY = ("arrival", "import")
GC = ("promote", "pause", "run")
DIGESTS = ("fast", "openssl")
FETCH = ("auto", "whole", "stream")


class Settings(Value):
    """What an installation needs to know; invalid arguments raise SettingsError.

    ``hash``
        64 lower-case hex digits, or None.
    ``store``
        URL of the store to fetch from (``gs://bucket/prefix``,
        ``file:///folder``), or None for the node cache alone.
    ``cache_dir``
        Absolute path of the node cache.
    ``cache_mode``
        ``raw`` (members uncompressed and mapped, the default), ``zstd``
        (as they travel, for a small disk) or ``memory`` (nothing on disk).
    ``policy``
        ``archive`` (the archive wins over installed packages, the default),
        ``path`` (exactly the order of ``sys.path``) or ``refuse`` (a name that
        is in both is an error when it is imported).
    ``timeout``
        Seconds that fetching an archive may take.
    ``cache_limit``
        Size above which the longest unused archives leave the node cache:
        ``20GiB``, ``500MB``, ``off``; None for a quarter of its disk.
    ``channel``
        Name of the channel that points to the archive; None beside a ``hash``.
    ``trusted_keys``
        Public keys, or the path of a file of them, with one of which a channel
        must be signed; None if it need not be.
    ``artifact``
        URL of a zip, wheel or tarball in any store from which the archive is
        made, or None. Beside it, ``hash`` is that of the archive made from it.
    ``verify``
        When the digests of code and data are checked: on ``arrival`` in the node
        cache, after which checksums find damage (the default), or again at each
        ``import``.
    ``gc``
        What the garbage collector does while modules of the archive are imported:
        ``promote`` (the default), ``pause`` or ``run``.
    ``connections``
        How many parts of an archive are fetched at the same time, 1 to 64.
    ``require_signature``
        Whether an archive must be signed with a trusted key, also one that is
        named by its hash.
    ``channel_minimum``
        The lowest number of a channel's change that counts.
    ``files``
        When files of the archive appear on disk: as they are ``looked`` at (the
        default), or ``all`` when it is installed.
    ``live``
        Whether code may change in a process that runs it (`lazyimport.live`).
    ``fetch``
        Whether a process starts when the ``whole`` archive has come, or earlier: what
        it needs comes first (``stream``); ``auto`` does that with large archives.
    ``profile``
        Absolute path of a directory where each process writes a profile of its start,
        or None.
    """

    __slots__ = tuple(ENVIRONMENT)

    hash: str | None
    store: str | None
    cache_dir: str
    cache_mode: str
    policy: str
    timeout: float
    cache_limit: str | None
    channel: str | None
    trusted_keys: str | None
    artifact: str | None
    verify: str
    gc: str
    connections: int
    require_signature: bool
    channel_minimum: int
    files: str
    digests: str
    live: bool
    fetch: str
    profile: str | None

    def __init__(
        self,
        hash: str | None = None,
        store: str | PathLike[str] | None = None,
        cache_dir: str | PathLike[str] | None = None,
        cache_mode: str | None = None,
        policy: str | None = None,
        timeout: float | str | None = None,
        cache_limit: str | None = None,
        channel: str | None = None,
        trusted_keys: str | None = None,
        artifact: str | None = None,
        verify: str | None = None,
        gc: str | None = None,
        connections: int | str | None = None,
        require_signature: bool | str | None = None,
        channel_minimum: int | str | None = None,
        files: str | None = None,
        digests: str | None = None,
        live: bool | str | None = None,
        fetch: str | None = None,
        profile: str | PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] = {},
    ) -> None:
        channel = check_channel(_text("channel", channel)) if channel else None
        self._set(
            hash=check_hash(hash) if hash else None,
            store=_url("store", store, _STORE) if store else None,
            cache_dir=_directory(
                "cache_dir", "node cache", cache_dir or _default_cache_dir(environ)
            ),
            cache_mode=_one_of("cache_mode", cache_mode or "raw", CACHE_MODES),
            policy=_one_of("policy", policy or "archive", POLICIES),
            timeout=_seconds(300.0 if timeout is None else timeout),
            cache_limit=_limit(cache_limit) if cache_limit else None,
            channel=None if hash else channel,
            trusted_keys=_trusted_keys(trusted_keys) if trusted_keys else None,
            artifact=_url("artifact", artifact, _ARTIFACT) if artifact else None,
            verify=_one_of("verify", verify or "arrival", VERIFY),
            gc=_one_of("gc", gc or "promote", GC),
            connections=_number(
                "connections", 8 if connections is None else connections, 1, 64
            ),
            require_signature=_flag("require_signature", require_signature),
            channel_minimum=_number("channel_minimum", channel_minimum or 0, 0, 2**53),
            files=_one_of("files", files or "looked", FILES),
            digests=_one_of("digests", digests or "fast", DIGESTS),
            live=_flag("live", live),
            fetch=_one_of("fetch", fetch or "auto", FETCH),
            profile=_directory("profile", "directory of profiles", profile)
            if profile
            else None,
        )
        if self.digests == "openssl":
            _load_openssl()

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str],
        **overrides: str | float | PathLike[str] | None,
    ) -> Settings:
        """Return settings read from *environ*; overrides that are not None win.

        ``BUCKET_NAME`` with ``SOURCE_CODE_PATH`` is the older spelling of a
        ``gs://`` store, and counts if ``LAZYIMPORT_STORE`` is not set. A path that
        ends as artifacts do is one of ``LAZYIMPORT_ARTIFACT``, whose SHA-256
        ``LAZYIMPORT_ARTIFACT_SHA256`` may give.

        Of a hash and an artifact the override counts; of two variables the
        hash, unless it was inherited from a process that ran another artifact.

        Raises SettingsError for a value that cannot be used.
        """
        values: dict[str, Any] = {
            name: environ.get(variable) or None
            for name, variable in ENVIRONMENT.items()
        }
        given = {name: value for name, value in overrides.items() if value is not None}
        if values["artifact"] or "artifact" in given or environ.get("BUCKET_NAME"):
            environment.combine(values, given, environ)
        else:
            values.update(given)
        return cls(**values, environ=environ)

    def to_environ(self) -> dict[str, str]:
        """Return the environment variables that give these settings again."""
        variables = {
            variable: str(value)
            for name, variable in ENVIRONMENT.items()
            if (value := getattr(self, name))
        }
        if self.hash and self.artifact:
            variables[environment.RESOLVED] = f"{self.hash} {self.artifact}"
        return variables

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in ENVIRONMENT}
        for name in ("store", "artifact"):
            values[name] = values[name] and redact(values[name])
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in values.items())})"

    def with_hash(self, hash: str) -> Settings:
        """Return the same settings for the archive *hash*, without a channel."""
        return self.replaced(hash=hash)

    def replaced(self, **values: Any) -> Settings:
        """Return the same settings but for *values*."""
        return Settings(**{**{n: getattr(self, n) for n in ENVIRONMENT}, **values})


def _text(name: str, value: object) -> str:
    if hasattr(value, "__fspath__"):
        value = value.__fspath__()
    if not isinstance(value, str):
        raise _bad(name, value, f"{name} must be a string, not {value!r}")
    return value


def _url(name: str, value: object, form: str) -> str:
    url = _text(name, value)
    if not url.isprintable():  # the end of a line, or what would forge one in a log
        url = url.strip()
        if any(c < " " or "\x7f" <= c < "\xa0" for c in url):
            shown = redact(url)
            raise _bad(name, shown, f"{name} has a control character in it: {shown!r}")
    if url.startswith("/"):
        return file_url(url)
    url = url.strip()
    if "://" not in url:  # in a process that starts elsewhere it is another folder
        shown, kind = redact(url), form.partition(" is ")[0]
        what = f"not {kind}: {shown!r} ({form}, or an absolute path)"
        raise _bad(name, shown, what)
    return url


def _directory(name: str, what: str, value: object) -> str:
    path = _text(name, value)
    if not path.startswith("/") or not path.strip("/"):
        text = f"the {what} must be an absolute path below the root, not {path!r}"
        raise _bad(name, path, text)
    return path


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        what = f"{name} must be one of {', '.join(allowed)}, not {value!r}"
        raise _bad(name, value, what)
    return value


def _seconds(value: float | str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < 1e6:
        what = f"timeout must be a number of seconds above 0, not {value!r}"
        raise _bad("timeout", value, what)
    return seconds


def _trusted_keys(value: object) -> str:
    text = _text("trusted_keys", value)
    if "PRIVATE KEY" in text:  # which settings show, and pass on to children
        what = "the trusted keys hold a private key: remove it, and make a new one"
        raise _bad("trusted_keys", None, what)
    return text


def _load_openssl() -> None:
    """Load OpenSSL, which `lazyimport.format` uses once it is there."""
    from hashlib import sha256

    if sha256.__module__ != "_hashlib":
        what = "digests cannot come from OpenSSL: this Python was built without it"
        raise _bad("digests", "openssl", what)


def _flag(name: str, value: object) -> bool:
    text = str(value or "no").lower()
    return _one_of(name, text, _YES + _NO) in _YES


def _number(name: str, value: object, least: int, most: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if not least <= number <= most:
        what = f"{name} must be a number from {least} to {most}, not {value!r}"
        raise _bad(name, value, what)
    return number


def _limit(value: object) -> str:
    text = _text("cache_limit", value)
    units.byte_count(text)
    return text


def _bad(name: str, value: object, what: str) -> errors.SettingsError:
    advice = f"set {ENVIRONMENT[name]} or pass {name}="
    return errors.SettingsError(f"{what}; {advice}", name=name, value=value)


def _default_cache_dir(environ: Mapping[str, str]) -> str:
    if environ.get("XDG_CACHE_HOME", "").startswith("/"):
        return environ["XDG_CACHE_HOME"].rstrip("/") + "/lazyimport"
    if environ.get("HOME", "").startswith("/") and environ["HOME"] != "/":
        return environ["HOME"].rstrip("/") + "/.cache/lazyimport"
    import os  # only for the node without a home directory

    return f"/tmp/lazyimport-{os.getuid()}"  # noqa: S108 - ownership is checked when it is used
