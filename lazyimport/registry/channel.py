"""A channel: a name in a store, and the changes that say which archive it points to.

It is the object ``channels/<name>.json``::

    {
        "format": 1,
        "channel": "prod",
        "changes": [
            {
                "number": 7,
                "hash": "4be8...",
                "at": "2026-11-22T20:07:31Z",
                "by": "ada@build-3",
                "commit": "9f31...",
                "message": "...",
                "valid_for": 2592000,
                "expires": "2026-12-22T20:07:31Z",
                "signatures": [{"key": "ssh-ed25519 AAAA...", "signature": "..."}],
            },
            ...,
        ],
    }

The changes are in order, the newest first, and the newest counts. Older ones are
there to roll back to, up to `HISTORY` in all. A removed channel stays as an object
whose newest change names no archive, so that its numbers go on: a number is used
once, and the state of a channel is never an older one.
"""

from __future__ import annotations

import json
import time
from typing import Any

from lazyimport.errors import ChannelError
from lazyimport.registry.layout import channel_key
from lazyimport.registry.signing import Trusted, signatures_in, signed_text
from lazyimport.units import LONGEST, utc
from lazyimport.values import check_hash, shown

#: Changes of a channel that its object has at most.
HISTORY = 50
#: Bytes of the largest object that is read; lazyimport writes no larger channel.
LARGEST = 1 << 20
#: Bytes of the largest change: as many as a channel has fit into its object.
LARGEST_CHANGE = 20_000
#: The highest number of a change: other languages cannot count further.
LAST = 2**53 - 1
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Change:
    """One change of a channel.

    ``number`` counts the changes of the channel from 1; ``hash`` is the archive
    from then on, None if the channel was removed; ``at`` the time in UTC by the
    writer's clock, ``by`` who made the change, ``commit`` the git commit of the
    archive if it is known, ``message`` why. ``expires`` is when it stops counting,
    ``valid_for`` seconds after it was made or refreshed; "" and 0 for never. ``facts``
    is all of it as it is stored.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.number: int = facts["number"]
        if "signatures" in facts:
            facts = {**facts, "signatures": signatures_in(facts["signatures"])}
        self.facts = facts
        flat = [fact for name, fact in facts.items() if name != "signatures"]
        if any(isinstance(fact, (dict, list)) for fact in flat):
            raise ValueError("a change has more than texts and numbers")
        hash = facts["hash"]
        self.hash = None if hash is None else check_hash(hash)
        self.at = str(facts.get("at") or "")
        self.by = str(facts.get("by") or "")
        self.commit = str(facts.get("commit") or "")
        self.message = str(facts.get("message") or "")
        self.valid_for: int = facts.get("valid_for", 0)
        self.expires: str = facts.get("expires", "")
        if self.expires or self.valid_for:
            written = time.strftime(_TIME, time.strptime(self.expires, _TIME))
            number = type(self.valid_for) is int and 0 < self.valid_for <= LONGEST
            if written != self.expires or not number:
                raise ValueError("its expiry makes no sense")

    def __str__(self) -> str:
        who = f" by {self.by}" if self.by else ""
        why = f": {self.message}" if self.message else ""
        return shown(f"#{self.number}, {self.at}{who}{why}")

    def is_expired(self) -> bool:
        """Whether it does not count any more, by the clock of this machine."""
        return bool(self.expires) and self.expires <= utc(time.time())

    @property
    def signatures(self) -> list[dict[str, str]]:
        """The signatures, each with a public ``key`` and a ``signature``."""
        found: list[dict[str, str]] = self.facts.get("signatures", [])
        return found

    def encode(self) -> bytes:
        """Return it as it is written down for good."""
        return _encoded(self.facts)

    def signer(self, channel: str, trusted: Trusted) -> str | None:
        """Return the trusted key that signed it for *channel*, None if none did."""
        return trusted.signer_of(self.signed_text(channel), self.signatures)

    def signed_text(self, channel: str) -> bytes:
        """Return what a signature is over: the channel's name and all facts.

        So the change counts only for this channel and this place in its history.
        """
        facts = {k: v for k, v in self.facts.items() if k != "signatures"}
        return signed_text("channel", {**facts, "channel": channel})


class Channel:
    """A channel: ``name``, and ``changes``, the newest first.

    ``changed`` is whether whoever returned it has just made the newest one.
    """

    def __init__(
        self, name: str, changes: list[Change], *, changed: bool = False
    ) -> None:
        self.name = name
        self.changes = changes
        self.changed = changed

    @property
    def newest(self) -> Change:
        """The change that counts."""
        return self.changes[0]

    @property
    def hash(self) -> str | None:
        """The archive that the channel points to; None if it was removed."""
        return self.newest.hash

    def encode(self) -> bytes:
        """Return the object to store."""
        changes = [change.facts for change in self.changes[:HISTORY]]
        facts = {"format": 1, "channel": self.name, "changes": changes}
        return _encoded(facts)

    @classmethod
    def decode(cls, data: bytes, name: str, url: str) -> Channel:
        """Return the channel *name* in *data*, from the store *url*.

        Raises ChannelError if it is none.
        """
        what = f"{url}/{channel_key(name)}"
        try:
            if len(data) > LARGEST:
                raise ValueError(f"it has more than {LARGEST} bytes")
            facts = json.loads(data)
            if facts["format"] != 1:
                raise ChannelError(
                    f"{what} is of format {facts['format']!r}, which this lazyimport "
                    "does not know; use the release that wrote it, or a newer one",
                    channel=name,
                    store=url,
                )
            return cls(name, _changes_in(facts, name))
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise ChannelError(
                f"{what} is no channel that lazyimport wrote ({error}); delete it "
                "there and set the channel again",
                channel=name,
                store=url,
            ) from error


def _encoded(facts: dict[str, Any]) -> bytes:
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    # what is no character is in JSON the escape that this makes of it
    return text.encode("utf-8", "backslashreplace")


def _changes_in(facts: dict[str, Any], name: str) -> list[Change]:
    """Return the changes in a decoded object; raises ValueError and others."""
    if facts["channel"] != name:
        raise ValueError(f"it is the channel {facts['channel']!r}")
    changes = [Change(change) for change in facts["changes"]]
    numbers = [change.number for change in changes]
    if not numbers or not all(type(number) is int for number in numbers):
        raise ValueError("it has no numbered changes")
    in_order = sorted(set(numbers), reverse=True) == numbers
    if not in_order or numbers[-1] < 1 or numbers[0] > LAST:
        raise ValueError("its changes are not in order")
    return changes
