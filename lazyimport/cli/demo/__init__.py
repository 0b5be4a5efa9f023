"""``lazyimport demo``: `story` tells it, of `application` running in `workers`."""
