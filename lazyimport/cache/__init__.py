"""The node cache: everything that knows a path in it."""
