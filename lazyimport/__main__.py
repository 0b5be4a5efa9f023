"""``python -m lazyimport``: the command line."""

from __future__ import annotations

import sys

from lazyimport.cli import main

if __name__ == "__main__":
    sys.exit(main())
