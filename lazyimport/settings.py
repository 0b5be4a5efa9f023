"""Settings: one immutable value, from environment variables and overrides."""

from __future__ import annotations

from lazyimport import lazy_errors as errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from os import PathLike

__all__ = [
    "ENVIRONMENT",
    "Settings",
    "artifact_suffix",
    "byte_count",
    "check_channel",
    "check_hash",
    "is_sha256",
]

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
}
#: "<hash> <artifact>": what an installed artifact became, for child processes.
RESOLVED = "LAZYIMPORT_RESOLVED"
ARTIFACTS = (".zip", ".whl", ".tar.gz", ".tgz", ".tar.zst")
CACHE_MODES = ("raw", "zstd", "memory")
POLICIES = ("archive", "path", "refuse")


class Settings:
    """What an installation needs to know.

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
        Seconds that fetching an archive may take before it is given up.
    ``cache_limit``
        Size above which the node cache drops what was not used for longest:
        ``20GiB``, ``500MB``, ``off``; None for a quarter of its disk.
    ``channel``
        Name of the channel that says which archive; None beside a ``hash``,
        which says so already.
    ``trusted_keys``
        Public keys (or the path of a file of them), or None: a channel counts
        only if signed with one of these.
    ``artifact``
        URL of a zip, wheel or tarball in any store to make the archive from,
        or None. Beside it, ``hash`` is what it was made into.
    """

    __slots__ = (
        "artifact",
        "cache_dir",
        "cache_limit",
        "cache_mode",
        "channel",
        "hash",
        "policy",
        "store",
        "timeout",
        "trusted_keys",
    )

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
        *,
        environ: Mapping[str, str] = {},
    ) -> None:
        put = object.__setattr__
        put(self, "hash", check_hash(hash) if hash else None)
        put(self, "store", _store(_text("store", store)) if store else None)
        folder = _text("cache_dir", cache_dir) if cache_dir else None
        put(self, "cache_dir", folder or _default_cache_dir(environ))
        put(self, "cache_mode", _one_of("cache_mode", cache_mode or "raw", CACHE_MODES))
        put(self, "policy", _one_of("policy", policy or "archive", POLICIES))
        put(self, "timeout", _seconds(300.0 if timeout is None else timeout))
        put(self, "cache_limit", cache_limit or None)
        if cache_limit:
            byte_count(cache_limit)
        channel = check_channel(_text("channel", channel)) if channel else None
        put(self, "channel", None if self.hash else channel)
        keys = _text("trusted_keys", trusted_keys) if trusted_keys else None
        put(self, "trusted_keys", keys)
        artifact = _artifact(_text("artifact", artifact)) if artifact else None
        put(self, "artifact", artifact)
        if not self.cache_dir.startswith("/"):
            raise errors.SettingsError(
                f"the cache directory must be an absolute path, not {self.cache_dir!r}; "
                "set LAZYIMPORT_CACHE_DIR or pass cache_dir=",
                name="cache_dir",
                value=self.cache_dir,
            )

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str],
        **overrides: str | float | PathLike[str] | None,
    ) -> Settings:
        """Return settings read from *environ*; overrides that are not None win.

        ``BUCKET_NAME`` with ``SOURCE_CODE_PATH`` is the older spelling of a
        ``gs://`` store and counts where ``LAZYIMPORT_STORE`` is not set; if the
        path ends as an artifact's name does, of ``LAZYIMPORT_ARTIFACT``.
        ``LAZYIMPORT_ARTIFACT_SHA256`` says what is to be in it.

        Of a hash and an artifact the override counts; of two variables the
        hash, unless it was inherited from a process that ran another artifact.

        Raises SettingsError for a value that cannot be used.
        """
        values: dict[str, object] = {
            name: environ.get(variable) or None
            for name, variable in ENVIRONMENT.items()
        }
        if not values["store"] and environ.get("BUCKET_NAME"):
            folder = environ.get("SOURCE_CODE_PATH", "").strip("/")
            old = "artifact" if artifact_suffix(folder) else "store"
            if not values[old]:
                url = f"gs://{environ['BUCKET_NAME']}/{folder}".rstrip("/")
                values[old] = url
        if environ.get("LAZYIMPORT_ARTIFACT_SHA256") and values["artifact"]:
            values["artifact"] = _with_sha256(
                str(values["artifact"]), environ["LAZYIMPORT_ARTIFACT_SHA256"]
            )
        given = {k: v for k, v in overrides.items() if v is not None}
        values.update(given)
        if "channel" in given and "artifact" not in given:
            values["artifact"] = None
        if values["hash"] and values["artifact"]:
            for name in _not_meant(values, given, environ.get(RESOLVED, "")):
                values[name] = None
        return cls(**values, environ=environ)  # type: ignore[arg-type]

    def to_environ(self) -> dict[str, str]:
        """Return the environment variables that give these settings again."""
        variables = {
            variable: str(value)
            for name, variable in ENVIRONMENT.items()
            if (value := getattr(self, name)) is not None
        }
        if self.hash and self.artifact:
            variables[RESOLVED] = f"{self.hash} {self.artifact}"
        return variables

    def with_hash(self, hash: str) -> Settings:
        """Return the same settings for the archive *hash*, without a channel."""
        return Settings(hash, *(getattr(self, name) for name in list(ENVIRONMENT)[1:]))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Settings are immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Settings are immutable: cannot delete {name!r}")

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __reduce__(self) -> tuple[object, ...]:
        return Settings, tuple(getattr(self, name) for name in ENVIRONMENT)

    def __repr__(self) -> str:
        fields = ", ".join(f"{n}={getattr(self, n)!r}" for n in self.__slots__)
        return f"Settings({fields})"


def check_hash(value: str) -> str:
    """Return *value* lower-cased if it is an archive's hash: 64 hex digits.

    Raises SettingsError otherwise.
    """
    text = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(text, str) or not is_sha256(text):
        raise errors.SettingsError(
            f"not an archive's hash: {value!r} (a hash is 64 hex digits, as "
            "'lazyimport push' prints it; set LAZYIMPORT_HASH or pass it to install())",
            name="hash",
            value=value,
        )
    return text


def byte_count(text: str) -> int | None:
    """Return the bytes of a size such as ``500MB`` or ``20GiB``; None for ``off``.

    ``k``, ``M``, ``G`` and ``T`` count thousands, ``Ki`` and so on 1024; a ``B``
    may follow. Raises SettingsError for anything else.
    """
    size = str(text).strip().lower()
    if size == "off":
        return None
    number = size.removesuffix("b")
    base = 1024 if number.endswith("i") else 1000
    number = number.removesuffix("i")
    power = " kmgt".find(number[-1:] or " ")
    if power > 0:
        number = number[:-1]
    elif base == 1024:
        number = ""
    try:
        count = float(number)
    except ValueError:
        count = -1.0
    if not 0 <= count < 1e18:
        raise errors.SettingsError(
            "LAZYIMPORT_CACHE_LIMIT must be a size such as 20GiB or 500MB, or off, "
            f"not {text!r}",
            name="cache_limit",
            value=text,
        )
    return int(count * base ** max(power, 0))


def check_channel(name: str) -> str:
    """Return *name* if a channel may be called so.

    1 to 64 of the characters a-z A-Z 0-9 . _ - with a letter or digit first;
    six or more hexadecimal digits and nothing else would be taken for the
    beginning of a hash. Raises SettingsError.
    """
    why = ""
    plain = name.replace(".", "").replace("-", "").replace("_", "")
    if len(name) > 64 or not (plain.isascii() and plain.isalnum()):
        why = "1 to 64 letters, digits, dots, dashes and underscores"
    elif name[0] in "._-":
        why = "it begins with a letter or digit"
    elif len(name) >= 6 and not name.lower().strip("0123456789abcdef"):
        why = "six or more hexadecimal digits would be the beginning of a hash"
    if why:
        raise errors.SettingsError(
            f"not the name of a channel: {name!r} ({why}; set LAZYIMPORT_CHANNEL or "
            "pass channel=)",
            name="channel",
            value=name,
        )
    return name


def is_sha256(text: str) -> bool:
    """Return whether *text* is 64 hex digits."""
    return len(text) == 64 and not text.strip("0123456789abcdefABCDEF")


def artifact_suffix(name: str) -> str:
    """Return how *name* ends if that is how artifacts end, in lower case, or ""."""
    return next((end for end in ARTIFACTS if name.lower().endswith(end)), "")


def _artifact(url: str) -> str:
    if url.startswith("/"):
        return "file://" + url.replace("%", "%25")
    if "://" not in url:
        raise errors.SettingsError(
            f"not an artifact: {url!r} (an artifact is a URL such as "
            "gs://bucket/app.zip or file:///folder/app.whl; set LAZYIMPORT_ARTIFACT or "
            "pass artifact=)",
            name="artifact",
            value=url,
        )
    return url


def _not_meant(
    values: Mapping[str, object], given: Container[str], resolved: str
) -> tuple[str, ...]:
    """Return which of hash and artifact does not count, where both are set."""
    made, _, source = resolved.partition(" ")
    if "hash" not in given and values["hash"] == made:  # inherited
        return () if values["artifact"] == source else ("hash",)
    if "artifact" in given and "hash" not in given:
        return ("hash",)
    return ("artifact",)


def _with_sha256(url: str, digest: str) -> str:
    option = f"sha256={digest}"
    if option in url.partition("#")[2]:
        return url
    return f"{url}{'&' if '#' in url else '#'}{option}"


def _text(name: str, value: object) -> str:
    if hasattr(value, "__fspath__"):
        value = value.__fspath__()
    if not isinstance(value, str):
        raise errors.SettingsError(
            f"{name} must be a string, not {value!r}; set {ENVIRONMENT[name]} or pass "
            f"{name}=",
            name=name,
            value=value,
        )
    return value


def _store(url: str) -> str:
    if url.startswith("/"):
        return "file://" + url.replace("%", "%25")
    if "://" not in url:
        # Not taken as it is: in a process that starts elsewhere it means another.
        import os

        folder = os.path.abspath(os.path.expanduser(url)).replace("%", "%25")
        raise errors.SettingsError(
            f"not a store: {url!r} (a store is a URL such as gs://bucket/prefix, or "
            f"file://{folder} for this folder; set LAZYIMPORT_STORE or pass store=)",
            name="store",
            value=url,
        )
    return url


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise errors.SettingsError(
            f"{ENVIRONMENT[name]} must be one of {', '.join(allowed)}, not {value!r}",
            name=name,
            value=value,
        )
    return value


def _seconds(value: float | str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < 1e6:
        raise errors.SettingsError(
            f"LAZYIMPORT_TIMEOUT must be a number of seconds above 0, not {value!r}",
            name="timeout",
            value=value,
        )
    return seconds


def _default_cache_dir(environ: Mapping[str, str]) -> str:
    if environ.get("XDG_CACHE_HOME", "").startswith("/"):
        return environ["XDG_CACHE_HOME"].rstrip("/") + "/lazyimport"
    if environ.get("HOME", "").startswith("/") and environ["HOME"] != "/":
        return environ["HOME"].rstrip("/") + "/.cache/lazyimport"
    import os  # only for the node without a home directory

    return f"/tmp/lazyimport-{os.getuid()}"  # noqa: S108 - ownership is checked when it is used
