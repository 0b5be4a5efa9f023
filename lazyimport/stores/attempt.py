"""Attempts: what a store was asked to do, so that its failures can say so."""

from __future__ import annotations

from lazyimport.errors import (
    KeyMissing,
    LazyImportError,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.values import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

#: What to do about a service that does not answer.
UNREACHABLE = (
    "see whether this machine reaches the network and the service is up, or raise "
    "LAZYIMPORT_TIMEOUT"
)
#: The status of a request that collided with another one.
CONFLICT = 409
NOT_FOUND = 404
_DENIED = {401, 403}
#: Request timeout, conflict, too many requests; beside the server's own errors.
_COME_BACK = {408, CONFLICT, 429}
_NOT_IMPLEMENTED = 501
#: Characters of what a service says that an error has, all on one line.
_LONGEST = 400


def comes_back(status: int) -> bool:
    """Whether a request that was answered with this HTTP status may succeed later."""
    return status in _COME_BACK or (status >= 500 and status != _NOT_IMPLEMENTED)


class Attempt:
    """A call of the store *url*: what it does (*verb*), with which object (*key*).

    *key* is empty for a listing. What is raised in ``with attempt:`` becomes an error
    of ours, with the first as its cause: *explain* is given the attempt and what was
    raised, and returns the StoreError for it, or None for what is not the store's
    and passes unchanged.
    With *hide*, which *explain* may set, the cause is left out, because it may contain
    a secret.
    """

    __slots__ = ("_explain", "_passed", "hide", "key", "url", "verb")

    def __init__(
        self,
        url: str,
        verb: str,
        key: str,
        explain: Callable[[Attempt, Exception], StoreError | None],
        *,
        hide: bool = False,
    ) -> None:
        self.url = url
        self.verb = verb
        self.key = key
        self._explain = explain
        self.hide = hide
        self._passed: BaseException | None = None

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, LazyImportError) or error is self._passed:
            return
        if isinstance(error, Exception):
            ours = self._explain(self, error)
            if ours is not None:
                hide = self.hide or _has_secret(error)
                try:
                    raise ours from (None if hide else error)
                finally:
                    if hide:  # whoever reports errors may follow it all the same
                        ours.__context__ = None

    def pass_through(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a *function* of the caller's own, whose errors are not the store's."""
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            self._passed = error
            raise

    def error(self, kind: type[StoreError], what: str, advice: str) -> StoreError:
        """Return an error that says where, what went wrong, and what to do."""
        doing = f"{self.verb} {self.key!r}" if self.key else self.verb
        said = _scrubbed(what).rstrip().rstrip(".")
        said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]} [...]"
        text = escaped(f"{self.url}: cannot {doing}: {said}; {advice}")
        return kind(text, url=self.url, key=self.key or None)

    def key_missing(self, what: str = "no such object") -> StoreError:
        """Return the error for an object that does not exist."""
        advice = "publish it, or correct the name or store"
        return self.error(KeyMissing, what, advice)

    def store_missing(self, what: str) -> StoreError:
        """Return the error for a bucket or folder that does not exist."""
        advice = "create it, or correct LAZYIMPORT_STORE"
        return self.error(StoreMissing, what, advice)

    def answered(self, status: int, what: str, access: str) -> StoreError:
        """Return the error for an answer with an HTTP *status* other than success.

        *access* says how a person gets access to the store.
        """
        if status in _DENIED:
            return self.error(StoreDenied, what, access)
        if status == NOT_FOUND:
            return self.key_missing(what) if self.key else self.store_missing(what)
        if comes_back(status):
            advice = "try again" if status == CONFLICT else UNREACHABLE
            return self.error(StoreUnavailable, what, advice)
        advice = "the answer says why; see whether the URL of the store is right"
        return self.error(StoreError, what, advice)

    def damaged(self, what: str) -> StoreError:
        """Return the error for bytes whose checksum does not hold."""
        error = self.error(StoreError, what, "it was damaged on the way; try again")
        error.retryable = True
        return error

    def unversioned(self, version: str) -> StoreError:
        """Return the error for an answer without what tells versions apart."""
        what = f"the answer names no {version} of the object"
        advice = "this service or proxy cannot keep objects that change; use another"
        return self.error(StoreError, what, advice)

    def not_installed(self, library: str, why: Exception) -> StoreError:
        """Return the error for a *library* that is not installed, by *why*."""
        what = f"this store needs {library}, which is not installed here ({why})"
        return self.error(StoreError, what, f"run: pip install {library}")


def _scrubbed(text: str) -> str:
    """Return *text* without users, passwords and queries of the URLs that it names."""
    import re  # a fetcher starts without it

    text = re.sub(r"(?<=://)(?:(?!: ).)*(?=@)", "***", text)
    return re.sub(r"(?<=\?)[^\s?]*=[^\s'\")]*", "***", text)


def _has_secret(error: BaseException | None) -> bool:
    """Whether what a client has raised, or a cause of it, may name a secret."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = f"{error} {error!r}"
        if _scrubbed(text) != text:
            return True
        error = error.__cause__ or error.__context__
    return False
