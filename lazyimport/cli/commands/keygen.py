"""``lazyimport keygen``."""

from __future__ import annotations

from lazyimport.cli import console, declare
from lazyimport.cli.options import folder
from lazyimport.registry.signer import make_key

_EXAMPLES = """
lazyimport keygen ~/.ssh/lazyimport
lazyimport push src --sign ~/.ssh/lazyimport --channel prod
export LAZYIMPORT_TRUSTED_KEYS="$(cat ~/.ssh/lazyimport.pub)"
"""


@declare.command("keygen", examples=_EXAMPLES)
@declare.argument("FILE", "Where to put the private key.")
def command(file: str) -> None:
    """Make a key to sign with.

    Makes an Ed25519 key: FILE for those who sign (--sign FILE or
    LAZYIMPORT_SIGNING_KEY), and FILE.pub for those who check
    (LAZYIMPORT_TRUSTED_KEYS). Prints the public key. A key from 'ssh-keygen -t
    ed25519' serves as well, with a passphrase too.
    """
    path = folder(file)
    signer = make_key(path)
    console.say(f"private key: {path} (keep it secret)\npublic key:  {path}.pub")
    print(signer.public)
