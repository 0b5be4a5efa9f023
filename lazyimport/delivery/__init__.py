"""Verified bytes onto this node, and published ones into a store."""
