"""``lazyimport keygen``."""

from __future__ import annotations

import os

from lazyimport.cli.progress import Notes
from lazyimport.registry.signing import make_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Make a key and print the public one."""
    path = os.path.abspath(os.path.expanduser(arguments.file))
    signer = make_key(path)
    Notes().say(f"private key: {path} (keep it secret)\npublic key:  {path}.pub")
    print(signer.public)
    return 0
