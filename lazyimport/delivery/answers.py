"""Errors as text: they go from the fetcher to the processes that wait for it."""

from __future__ import annotations

import json

from lazyimport import errors


def encode_error(error: BaseException) -> str:
    """Return *error* as one line of text."""
    if isinstance(error, errors.LazyImportError):
        kind, facts = type(error).__name__, error.__reduce__()[2]
    else:
        kind, facts = "DeliveryError", {}
        error = errors.DeliveryError(
            f"the fetcher has failed: {type(error).__name__}: {error}"
        )
    known = {
        name: value
        for name, value in facts.items()
        if isinstance(value, (str, int, type(None))) and name != "__notes__"
    }
    return json.dumps([kind, str(error), known])


def decode_error(text: str) -> errors.LazyImportError:
    """Return the error that `encode_error` made *text* of."""
    try:
        kind, message, facts = json.loads(text)
        found = getattr(errors, kind)
        error = found(message, **facts)
    except (ValueError, TypeError, AttributeError):
        return errors.DeliveryError(f"the fetcher has failed: {text}")
    assert isinstance(error, errors.LazyImportError)
    return error
