"""Print at the end how many of CPython's own tests ran on archives."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up the counts that `test_stock.py` recorded."""
    counts: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call" and "test_stock" in report.nodeid:
                counts.update(dict(report.user_properties))
    if counts:
        terminalreporter.write_line(
            "CPython's own tests on archives: {passed} passed, {excluded} excluded; "
            "{uncounted} do not pass or do not run on a directory either".format_map(
                counts
            )
        )
