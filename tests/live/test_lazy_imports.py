"""Lazy imports of Python 3.15 (PEP 810): what a swap knows of what is not imported."""

from __future__ import annotations

import sys

import pytest

from tests.live.conftest import Run
from tests.live.test_swapping import version

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="PEP 810")

MAIN = """
    lazy from app import consts, lazy as late
    lazy import app.consts as dotted
    lazy from app.consts import VERSION
    def answer():
        return consts.VERSION, dotted.VERSION, VERSION
    def more():
        return late.VERSION
"""


@pytest.mark.parametrize("before", ["old.answer()", "old.more()", "None"])
def test_each_version_resolves_its_own(run: Run, before: str) -> None:
    """Whatever was used before the swap."""
    told = run(
        f"""
        from app import main as old
        {before}
        to(1, 'refused')
        to(2)
        from app import main as new
        print(new.answer(), new.more(), old.answer(), old.more())
        to(3)
        from app import main as newest
        print(newest.answer(), newest.more(), new.answer(), old.more())
        """,
        version(1, main=MAIN),
        version(2, main=MAIN + "    answer()\n    1 / 0\n"),
        version(3, main=MAIN + "    1\n"),
        version(4, main=MAIN + "    2\n"),
    )
    assert told == ["(3, 3, 3) 3 (1, 1, 1) 1", "(4, 4, 4) 4 (3, 3, 3) 1"]


def test_who_has_used_a_lazy_import_is_executed_again(run: Run) -> None:
    told = run(
        """
        from app import main, other
        main.answer()
        print(*sorted(to(1).modules))
        from app import main as new, other as same
        print(new.answer(), same is other, other.answer())
        """,
        version(1, main=MAIN, other=MAIN),
        version(2, main=MAIN, other=MAIN),
    )
    assert told == ["app.consts app.main", "(2, 2, 2) True (2, 2, 2)"]


def test_a_model_is_kept_though_its_factory_imports_lazily(run: Run) -> None:
    main = """
        lazy import json
        lazy from app import model
        from lazyimport import keep
        def make(name):
            return [model.Model(), json.dumps(name)]
        def kept():
            return keep("model", make, "big")
        {more}
    """
    told = run(
        """
        from app import main
        kept = main.kept()
        for number in 1, 2:
            print(*to(number, prepare=lambda g: g.import_module('app.main').kept()).kept)
            from app import main
            print(main.kept() is kept)
        """,
        version(1, main=main.format(more="")),
        version(1, main=main.format(more="json.dumps(1)")),
        version(1, main=main.format(more="model.Model()")),
    )
    assert told == ["model", "True", "model", "True"]
