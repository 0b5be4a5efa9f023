"""A hash in a manifest, into a cluster, followed to its end. Imports no Ray."""
