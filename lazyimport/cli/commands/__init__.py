"""The commands; each module has `run`, which returns an exit code."""
