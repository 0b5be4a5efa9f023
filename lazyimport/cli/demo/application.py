"""The application of the demo: a small shop, and the libraries it stands on."""

from __future__ import annotations

import os
import shutil
from importlib import import_module

#: Several hundred modules of pure Python, installed wherever lazyimport is.
_LIBRARIES = ("rich", "pygments", "markdown_it", "mdurl")

_SHOP = {
    "pyproject.toml": "[tool.lazyimport]\n",
    "demo_shop/__init__.py": '"""A shop that sells licenses, in {run}."""\n',
    "demo_shop/prices.py": '''\
"""What licenses cost."""

DISCOUNT = {discount}
PRICES = {{"starter": 40, "team": 120, "company": 900}}


def price(license, count):
    return PRICES[license] * count * (100 - DISCOUNT) // 100
''',
    "demo_shop/orders.py": '''\
"""Orders, answered in Markdown; and tills, which add up what is sold."""

from demo_shop.prices import DISCOUNT, price
from rich.markdown import Markdown


def order(license, count):
    text = f"{{count}} {{license}} licenses cost {{price(license, count)}}"
    return Markdown(text).markup


class Till:
    sum = 0

    def sell(self, license, count):
        self.sum += price(license, count)
        return self.sum


sell = Till().sell


def sell_by_actor(license, count):
    import ray

    options = ray.remote(Till).options
    till = options(name=str(DISCOUNT), get_if_exists=True, lifetime="detached").remote()
    return ray.get(till.sell.remote(license, count))
''',
}


def write(folder: str, discount: int) -> None:
    """Write the application into *folder*/app, with a hash that no other run has."""
    os.makedirs(f"{folder}/app/demo_shop")
    for name, text in _SHOP.items():
        with open(f"{folder}/app/{name}", "w", encoding="utf-8") as file:
            file.write(text.format(run=os.path.basename(folder), discount=discount))
    for name in _LIBRARIES:
        shutil.copytree(import_module(name).__path__[0], f"{folder}/app/{name}")
