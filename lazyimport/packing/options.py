"""Options of one packing, beside what the project's configuration says."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lazyimport.packing.config import Config


@dataclass(frozen=True)
class PackOptions:
    """How to pack, where it should differ from ``[tool.lazyimport]``.

    ``exclude`` and ``include`` are gitignore patterns, added to those of the
    configuration. ``gitignore`` false disregards .gitignore files. ``follow_links``
    packs what links out of the roots lead to. ``python``
    (versions such as ``"3.12"``, or paths of interpreters) and ``optimize`` (0, 1
    or 2) replace what the configuration says, unless they are empty.

    ``installed`` names distributions to copy from this environment,
    ``requirements`` are files and ``wheels`` wheels that pip or uv installs into the
    archive, for ``platform`` (a tag such as ``manylinux_2_28_x86_64``) or, by
    default, for this machine.

    ``profile`` are profiles, files or directories of them: what they record comes
    first in the archive, whose hash does not depend on it.

    ``jobs`` processes compile at once, by default one for each processor. Unless
    ``trust_stat``, every file is read even if its times and size are unchanged.
    """

    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    gitignore: bool = True
    follow_links: bool = False
    python: tuple[str, ...] = ()
    optimize: tuple[int, ...] = ()
    installed: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    platform: str | None = None
    profile: tuple[str, ...] = ()
    jobs: int | None = None
    trust_stat: bool = True

    def change(self, config: Config) -> Config:
        """Return *config* as these options change it."""
        return replace(
            config,
            exclude=config.exclude + self.exclude,
            include=config.include + self.include,
            gitignore=config.gitignore and self.gitignore,
            follow_links=self.follow_links,
            python=self.python or config.python,
            profile=self.profile or config.profile,
            optimize=tuple(sorted(set(self.optimize or config.optimize))),
        )
