"""A reporter that keeps what it is told."""

from __future__ import annotations

from lazyimport.reporting import Reporter

__all__ = ["Recorder"]


class Recorder(Reporter):
    """Keeps texts of ``warnings``, and ``steps`` as (text, done, total)."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.steps: list[tuple[str, int | None, int | None]] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def step(
        self,
        text: str,
        done: int | None = None,
        total: int | None = None,
        unit: str = "items",
    ) -> None:
        self.steps.append((text, done, total))
