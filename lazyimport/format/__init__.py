"""The archive as bytes and values, without IO of its own: ``docs/format.md``."""
