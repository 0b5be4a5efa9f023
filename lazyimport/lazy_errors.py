"""The errors, loaded when the first of them is named.

For modules that every worker loads at its start, where nothing has gone wrong yet::

    from lazyimport import lazy_errors as errors

    raise errors.SettingsError(...)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.errors import *  # noqa: F403


def __getattr__(name: str) -> object:
    from lazyimport import errors

    value = globals()[name] = getattr(errors, name)
    return value
