"""``lazyimport sign``."""

from __future__ import annotations

import os

import click

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import describe_channel
from lazyimport.registry.archives import require_archive
from lazyimport.registry.channels import set_channel
from lazyimport.registry.keys import fingerprint
from lazyimport.registry.opening import store_of
from lazyimport.registry.provenance import builder
from lazyimport.registry.signer import Signer, sign_archive
from lazyimport.registry.signing import Trusted
from lazyimport.settings import Settings
from lazyimport.stores import mutable, writable

_EXAMPLES = """
lazyimport sign 4be81c02... --sign ~/.ssh/lazyimport
lazyimport sign prod --channel prod --sign new-key      after a change of keys
"""


@declare.command("sign", examples=_EXAMPLES)
@options.archive(artifacts=False)
@declare.option(
    "--channel NAME",
    "Sign also this channel, which must point to the archive.",
    "channels",
    multiple=True,
)
@options.message
@options.sign
@options.settings(required=True)
def command(
    archive: str,
    channels: tuple[str, ...],
    message: str,
    signer: Signer | None,
    settings: Settings,
) -> None:
    """Sign an archive that is in the store.

    HASH must be all 64 digits, or lead to an archive that a trusted key has signed
    before: nothing is signed because the store says so.
    """
    if not channels:
        options.refuse_idle(["message"], "without --channel")
    if signer is None:
        raise click.UsageError(
            "with which key? Add --sign KEY, or set LAZYIMPORT_SIGNING_KEY"
        )
    store = writable(store_of(settings))
    hash = options.resolve_stored(archive, settings, store, signer)
    require_archive(store, hash)
    new = sign_archive(store, hash, signer)
    key = fingerprint(signer.public)
    console.say(f"archive {hash} {'is' if new else 'was already'} signed with {key}")
    for name in channels:
        channel = set_channel(
            mutable(store),
            name,
            hash,
            by=builder(os.environ),
            message=message or f"signed with {key}",
            signer=signer,
            trusted=Trusted.of(settings),
            only_sign=True,
        )
        console.say(describe_channel(channel, store.url))
