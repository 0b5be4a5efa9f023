"""What can go wrong between a manifest and running replicas."""

from __future__ import annotations

from lazyimport.errors import LazyImportError


class DeployError(LazyImportError):
    """A deployment could not be made, or did not come up.

    ``outcome`` is what came of it, as `Deployment.outcome` says; "" if that is unknown.
    ``reason`` is why, in the words of Serve.
    """

    outcome: str = ""
    reason: str = ""


class ImpossibleError(DeployError):
    """Such a manifest can never do what was asked for."""


class ManifestError(DeployError):
    """A manifest cannot be read, or contradicts itself.

    ``path`` names the file and ``line`` the line, counted from 1.
    """

    path: str
    line: int
