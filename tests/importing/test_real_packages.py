"""Packages as PyPI has them, on a directory and on an archive.

What is not installed is skipped; the dependency group ``real`` has all of it. The
script ``benchmarks/sweep.py`` does the same with many more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from lazyimport.packing.config import Config
from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)
from tests.support.installed import are_installed, copy_installed
from tests.support.snapshot import differences, modules_of, snapshot

#: a project of our own, beside each of them
PROJECT: Files = {
    "shop/__init__.py": "",
    "shop/templates/hello.html": "Hello {{ name }}!\n",
    "shop/static/style.css": "body { color: teal }\n",
    "shop/flasks.py": """\
import flask
app = flask.Flask(__name__)

@app.route("/")
def index():
    return flask.render_template("hello.html", name="Flask")
""",
    "shop/djangos.py": """\
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "shop"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_I18N = True
""",
}

LIGHT = ["cachetools", "iniconfig", "packaging", "pluggy", "zstandard"]

PROGRAMS: dict[str, tuple[Sequence[str], str]] = {
    "certifi": (
        ["certifi"],
        """
        import certifi, os, ssl
        print(certifi.where(), os.path.getsize(certifi.where()), len(certifi.contents()))
        print(len(ssl.create_default_context(cafile=certifi.where()).get_ca_certs()) > 50)
        """,
    ),
    "pytz": (
        ["pytz"],
        """
        import pytz, datetime
        print(len(pytz.all_timezones), pytz.country_timezones["de"])
        print(pytz.timezone("Europe/Berlin").localize(datetime.datetime(2024, 7, 1)))
        """,
    ),
    "babel": (
        ["babel"],
        """
        import datetime
        from babel import Locale, dates, localedata, numbers
        print(len(localedata.locale_identifiers()), Locale("ja").display_name)
        print(dates.format_date(datetime.date(2024, 7, 1), "full", locale="de_DE"))
        print(numbers.format_currency(1234.5, "EUR", locale="fr_FR"))
        """,
    ),
    "botocore": (
        ["botocore"],
        """
        import botocore.session
        s = botocore.session.get_session()
        print(len(s.get_available_services()), s.get_service_model("s3").operation_names[:3])
        c = s.create_client("s3", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
        print(c.meta.endpoint_url, c.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})[:30])
        """,
    ),
    "django": (
        ["django"],
        """
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "shop.djangos"
        import django; django.setup()
        from django.template.loader import render_to_string
        from django.utils.translation import gettext, override
        from django.utils.formats import date_format
        import datetime
        print(render_to_string("hello.html", {"name": "Django"}))
        with override("de"): print(gettext("Yes"), date_format(datetime.date(2024, 7, 1)))
        from django.core.management import call_command, get_commands
        print(len(get_commands()))
        call_command("migrate", verbosity=0)
        from django.contrib.auth.models import User
        User.objects.create_user("ann"); print(User.objects.count())
        from django.db.migrations.loader import MigrationLoader
        print(sorted(MigrationLoader(None).disk_migrations))
        """,
    ),
    "cloudpickle": (
        ["cloudpickle", "jinja2"],
        """
        import cloudpickle, inspect, jinja2, pickle, traceback
        from jinja2.utils import LRUCache, Cycler
        def again(thing): return pickle.loads(cloudpickle.dumps(thing))
        print(again(LRUCache) is LRUCache, again(Cycler.next) is Cycler.next)
        print(again(lambda n: Cycler(n).current)(7), again(LRUCache(3)).capacity)
        cloudpickle.register_pickle_by_value(jinja2.utils)
        Copy = again(Cycler)
        print(Copy is Cycler, Copy(1, 2).next(), inspect.getsource(Copy.next)[:30])
        try: Copy()
        except RuntimeError: print(traceback.format_exc())
        print(again(jinja2.utils.__spec__).origin, again(jinja2) is jinja2)
        """,
    ),
    "jinja2": (
        ["jinja2"],
        """
        import jinja2, shop
        e = jinja2.Environment(loader=jinja2.PackageLoader("shop"))
        print(e.list_templates(), e.get_template("hello.html").render(name="Jinja"))
        try: e.from_string("{{ nothing.at.all }}").render()
        except jinja2.UndefinedError as error: print(error)
        """,
    ),
    "flask": (
        ["flask"],
        """
        from shop.flasks import app
        print(app.root_path, app.template_folder, app.instance_path)
        c = app.test_client()
        print(c.get("/").data, c.get("/static/style.css").data, c.get("/static/no").status)
        """,
    ),
    "matplotlib": (
        ["matplotlib"],
        """
        import io, matplotlib
        matplotlib.use("agg")
        import matplotlib.pyplot as plt
        print(matplotlib.get_data_path(), len(plt.style.available), matplotlib.font_manager.findfont("DejaVu Sans"))
        plt.plot([1, 2]); out = io.BytesIO(); plt.savefig(out, metadata={"Software": None}); print(len(out.getvalue()))
        """,
    ),
    "numpy": (
        ["numpy"],
        """
        import numpy as np, pickle, inspect
        print(np.linalg.solve(np.array([[3.0, 1], [1, 2]]), [9, 8]), np.fft.fft([1, 0])[0])
        print(np.random.default_rng(1).integers(9, size=3), pickle.loads(pickle.dumps(np.arange(3))))
        print(np.get_include(), inspect.getsource(np.linalg.norm)[:20], np.lib.__file__)
        """,
    ),
    "pandas": (
        ["pandas"],
        """
        import pandas as pd
        d = pd.DataFrame({"a": [1, 1, 2], "t": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin")})
        print(d.groupby("a").size().to_dict(), d.t.dt.tz_convert("UTC").iloc[0], d.to_csv(index=False))
        """,
    ),
    "pydantic": (
        ["pydantic"],
        """
        import pydantic
        class M(pydantic.BaseModel): n: int; when: pydantic.PositiveInt = 1
        print(M(n="3"), M.model_json_schema())
        try: M(n="x")
        except pydantic.ValidationError as e: print(e.errors()[0]["type"])
        """,
    ),
    "cryptography": (
        ["cryptography"],
        """
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.asymmetric import ed25519
        f = Fernet(b"A" * 43 + b"="); print(f.decrypt(f.encrypt(b"secret")))
        k = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32); print(k.sign(b"m").hex()[:16])
        """,
    ),
    "grpc": (
        ["grpcio"],
        """
        import grpc
        from concurrent.futures import ThreadPoolExecutor
        s = grpc.server(ThreadPoolExecutor(1))
        h = grpc.unary_unary_rpc_method_handler(lambda r, c: r[::-1])
        s.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", {"C": h}),))
        p = s.add_insecure_port("localhost:0"); s.start()
        with grpc.insecure_channel(f"localhost:{p}") as c: print(c.unary_unary("/a.B/C")(b"abc", timeout=20))
        s.stop(None).wait()
        """,
    ),
    "lxml": (
        ["lxml"],
        """
        from lxml import etree, html, isoschematron
        print(etree.tostring(html.fromstring("<p>a<b>c</p>")))
        x = etree.XML('<schema xmlns="http://purl.oclc.org/dsdl/schematron"><pattern><rule context="a"><assert test="b">no b</assert></rule></pattern></schema>')
        print(isoschematron.Schematron(x).validate(etree.XML("<a/>")))
        """,
    ),
    "pyarrow": (
        ["pyarrow"],
        """
        import io, pyarrow as pa, pyarrow.parquet as pq, os
        out = io.BytesIO(); pq.write_table(pa.table({"a": [1, 2]}), out); out.seek(0)
        print(pq.read_table(out).to_pydict(), [os.path.isdir(d) for d in pa.get_library_dirs()], pa.get_include())
        """,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_works(name: str, tmp_path: Path) -> None:
    """The package imports and finds its own files, and ours find theirs."""
    names, program = PROGRAMS[name]
    if not are_installed(names):
        pytest.skip("not installed; the dependency group 'real' has it")
    folder, cache = write_tree(PROJECT, tmp_path / "site"), tmp_path / "cache"
    copy_installed(names, folder)
    # half of pandas and matplotlib are tests, which take a minute to compile
    hash_ = pack_tree(folder, cache, Config(exclude=("tests/",)))
    text = dedent(program)
    quiet = {
        "HOME": str(tmp_path),
        "MPLCONFIGDIR": str(tmp_path / "mpl"),
        "GRPC_VERBOSITY": "NONE",  # it logs when and where a connection ended
    }

    directory = from_directory(folder, text, alone=True, **quiet)
    archive = from_archive(hash_, cache, text, alone=True, **quiet)

    assert directory == archive
    assert directory.status == 0, directory.stderr


def test_nothing_else_to_see(tmp_path: Path) -> None:
    """A few small distributions look the same in every respect."""
    names = [name for name in LIGHT if are_installed([name])]
    assert len(names) > 3
    folder, cache = tmp_path / "site", tmp_path / "cache"
    modules = modules_of(folder, copy_installed(names, folder))
    hash_ = pack_tree(folder, cache)

    directory = snapshot(folder, modules, out=tmp_path / "out")
    archive = snapshot(folder, modules, hash=hash_, cache=cache, out=tmp_path / "out")

    assert list(differences(directory, archive)) == []
    assert len(directory["modules"]) > 40
    assert not any("crash" in seen for seen in directory["modules"].values())
