"""What sources import, read without running them."""

from __future__ import annotations

import textwrap

import pytest

from lazyimport.packing.imports import Fault, Module, find_faults, import_order

#: neither in the archive nor to be looked into
INSTALLED = {"os", "sys", "json", "typing", "contextlib", "importlib", "torch"}


def faults(source: str, **others: str) -> list[Fault]:
    """Look at the module ``shop.serve``, which is *source*, beside *others* in shop."""
    sources = {"shop/__init__.py": "", "shop/serve.py": textwrap.dedent(source)}
    sources |= {f"shop/{name}.py": text for name, text in others.items()}

    def find(name: str) -> Module | None:
        if name.partition(".")[0] in INSTALLED:
            return Module("", None)
        stem = name.replace(".", "/")
        for path in (f"{stem}/__init__.py", f"{stem}.py"):
            if path in sources:
                return Module(path, sources[path].encode())
        return None

    return find_faults(["shop.serve"], find)


def missing(source: str, **others: str) -> list[str]:
    return [fault.missing for fault in faults(source, **others)]


def test_file_and_line_of_what_is_nowhere() -> None:
    source = (
        "import os, torch.nn\n\n\ndef predict():\n    import xgboost.core as core\n"
    )

    assert faults(source) == [Fault("shop/serve.py", 5, "xgboost")]
    assert (
        faults(source)[0].text == "shop/serve.py:5: imports 'xgboost', which is "
        "neither in the archive nor installed"
    )


@pytest.mark.parametrize(
    "line",
    [
        "import gone",
        "from gone import x",
        "from gone.deep import *",
        "import os, gone",
        "async def f():\n    import gone",
        "class A:\n    import gone",
        "try:\n    import gone\nexcept KeyError:\n    pass",
        "try:\n    pass\nfinally:\n    import gone",
        "with open('x'):\n    import gone",
        "if not TYPE_CHECKING:\n    import gone",
        "if sys.version_info >= (3, 10):\n    import gone",
        "if sys.platform == 'no-such':\n    import os\nelse:\n    import gone",
        "try:\n    import absent\nexcept ImportError:\n    import gone",
        "x = [importlib.import_module('gone') for _ in y]",
    ],
)
def test_what_is_certain(line: str) -> None:
    (fault,) = faults(line)

    assert ("gone", True) == (fault.missing, fault.certain)


@pytest.mark.parametrize(
    "line",
    [
        "if os.environ:\n    import gone",
        "if os.environ:\n    import os\nelse:\n    import gone",
        "match x:\n    case 1:\n        import gone",
        "if 1 << 99999999999999999999:\n    import gone",
        "if (1 << 40000000000) > 2:\n    import gone",
        "try:\n    import absent\nexcept ImportError:\n    pass\nelse:\n    import gone",
        "try:\n    f()\nexcept ValueError:\n    import gone",
        "try:\n    import gone\nexcept Exception:\n    pass",
        "try:\n    import gone\nexcept:\n    pass",
    ],
)
def test_what_depends_on_a_condition(line: str) -> None:
    (fault,) = faults(line)

    assert ("gone", False) == (fault.missing, fault.certain)


@pytest.mark.parametrize(
    "line",
    [
        "try:\n    import gone\nexcept ImportError:\n    gone = None",
        "try:\n    import gone\nexcept (KeyError, ModuleNotFoundError):\n    pass",
        "try:\n    import gone\nexcept builtins.ImportError:\n    pass",
        "try:\n    f()\nexcept ImportError:\n    pass\ndef f():\n    import gone",
        "try:\n    if x:\n        import gone\nexcept ImportError:\n    pass",
        "try:\n    import json\nexcept ImportError:\n    import gone as json",
        "with contextlib.suppress(ImportError):\n    import gone",
        "if TYPE_CHECKING:\n    import gone",
        "if typing.TYPE_CHECKING and x:\n    import gone",
        "if sys.version_info < (3, 8):\n    import gone",
        "if sys.version_info[0] == 2:\n    import gone",
        "if sys.platform.startswith('no-such') or os.name == 'no':\n    import gone",
        "if False:\n    import gone",
        "if __name__ == '__main__':\n    import gone",
        "from . import serve as other",
        "from .... import gone",
        "importlib.import_module('.gone', __name__)",
        "importlib.import_module(name)",
        "'import gone'",
    ],
)
def test_what_is_no_error(line: str) -> None:
    assert [] == faults(line)


def test_members_are_attributes_or_modules() -> None:
    source = "from shop import prices, costs\nfrom .prices import price, fee, __doc__\n"

    assert ["shop.costs", "shop.prices.fee"] == missing(source, prices="price = 1\n")
    for text in ("from os import *", "def __getattr__(name): ...", "globals().x = 1"):
        assert ["shop.costs"] == missing(source, prices=text)


def test_what_is_imported_is_read_too_and_nothing_else() -> None:
    source = "def f():\n    from shop import late\n"

    assert ["gone"] == missing(source, late="import gone", unreached="import other")


def test_what_an_optional_module_misses_is_no_error() -> None:
    """It fails as the one who asks for it expects."""
    source = "try:\n    from shop import fast\nexcept ImportError:\n    fast = None\n"

    assert [] == missing(source, fast="import gone")
    assert ["gone"] == missing(f"{source}from shop import fast\n", fast="import gone")


@pytest.mark.parametrize("wrong", ["def f(:", "x = 1\nreturn x", "x = '\0'"])
def test_a_syntax_error_that_is_reached(wrong: str) -> None:
    """An ``except ImportError`` does not catch it."""
    for source in (
        "def f():\n    from shop import late\n",
        "try:\n    from shop import late\nexcept ImportError:\n    pass\n",
    ):
        (fault,) = faults(source, late=wrong)
        assert fault.path == "shop/late.py"
        assert "SyntaxError: " in fault.text
        assert fault.line == 1 + wrong.count("\n")

    assert [] == faults("import shop\n", late=wrong)


def test_modules_that_import_each_other() -> None:
    source = "from shop import other\nimport shop.serve\nimport gone\n"

    assert ["gone"] == missing(source, other="from shop import serve\n")


def test_expressions_and_chains_may_be_deep() -> None:
    deep = " + ".join(["x"] * 900)
    chain = "if a:\n    pass\n" + "elif a:\n    pass\n" * 900

    assert ["gone"] == missing(f"import gone\nx = {deep}\n")
    assert missing(f"import gone\n{chain}") in ([], ["gone"])


def test_the_order_of_imports_when_a_module_runs() -> None:
    """Depth first; what functions import may come later, or never."""
    sources = {
        "app": "import b.c\nfrom d import e, f\nimport late\nimport nowhere\n",
        "b": "import first\n",
        "b.c": "def use():\n    import never\nclass C:\n    import inside\n",
        "d": "from . import f\n",
        "d.e": "",
        "d.f": "import app\n",
        "first": "if False:\n    import never\n",
        "inside": "",
        "late": "import (\n",
        "never": "",
    }

    def find(name: str) -> Module | None:
        path = f"{name}/__init__.py" if name in {"b", "d"} else f"{name}.py"
        return Module(path, sources[name].encode()) if name in sources else None

    assert import_order(["app"], find) == [
        *("app", "b", "first", "b.c", "inside", "d", "d.f", "d.e", "late")
    ]
    assert import_order(["nothing", "d.e"], find)[:3] == ["d", "d.f", "app"]
