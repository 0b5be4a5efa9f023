"""The doctor: what a machine needs to fetch and run archives, tried one by one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import NamedTuple

from lazyimport.cache.blobs import missing_blob
from lazyimport.cache.disks import kind_of
from lazyimport.cache.layout import BLOBS
from lazyimport.cache.node import NodeCache
from lazyimport.cache.refusal import is_out_of_inodes
from lazyimport.delivery.compatibility import require_fit, this_python
from lazyimport.delivery.contents import Contents, read_contents
from lazyimport.delivery.lookup import resolve
from lazyimport.errors import KeyMissing, LazyImportError, MemberMissing
from lazyimport.registry.archives import delete_object
from lazyimport.registry.layout import CLOCK, archive_key, blob_key
from lazyimport.registry.opening import store_of
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.stores import ReadStore, writable
from lazyimport.values import OVERWRITTEN

#: Bytes with which a disk is nearly full; seconds to wait, and that clocks may differ.
_LITTLE, _PATIENCE, _FAR = 1 << 30, 10.0, 60.0
_PROBE = "import sys; sys.exit('lazyimport.activation' not in sys.modules)"
_PLUGIN = "lazyimport.ray.plugin.ArchivePlugin"
_MOVE = "set LAZYIMPORT_CACHE_DIR to a directory on another disk"


class Finding(NamedTuple):
    """What was ``tried``, what was ``found``, with what to do, and if that is well.

    ``where`` is the node of a cluster; "" here.
    """

    tried: str
    found: str
    well: bool
    where: str = ""


def examine(
    settings: Settings,
    archive: str | None = None,
    *,
    environ: Mapping[str, str],
    write: bool = False,
) -> Iterator[Finding]:
    """Yield a finding for each thing that a process needs to run an archive here.

    That is activation with the variables *environ*, the node cache and its disk, the
    store, and an *archive*, as `resolve` takes it, for this Python and platform. With
    *write*, an object is made in the store, as a push does, and deleted. Raises
    SettingsError for what is no store.
    """
    settings = settings.replaced(timeout=min(settings.timeout, _PATIENCE))
    cache = NodeCache(settings.cache_dir)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("this Python", _python),
        ("activation", partial(_activation, environ, cache.path)),
        ("node cache", partial(_cache, cache)),
        ("its disk", partial(_disk, cache.path)),
    ]
    if find_spec("ray") is not None:
        checks.append(("Ray's plugin", partial(_plugin, environ)))
    if settings.store:
        store = store_of(settings)
        checks.append(("reading the store", partial(_read, store)))
        if write:
            checks.append(("writing to it", partial(_write, store)))
    if archive:
        checks.append((f"archive {archive[:12]}", partial(_archive, archive, settings)))
    for tried, check in checks:
        try:
            yield Finding(tried, check(), well=True)
        except LazyImportError as error:
            yield Finding(tried, str(error), well=False)
        except OSError as error:
            yield Finding(tried, f"{error.filename}: {error.strerror}", well=False)


def _python() -> str:
    python = sys.version.split()[0]
    try:
        other = distribution("lazyimport").version
    except PackageNotFoundError:
        other = ""
    if other:
        raise LazyImportError(
            f"{sys.executable} has the distribution lazyimport {other} too; {OVERWRITTEN}"
        )
    return f"Python {python}, {sysconfig.get_platform()}, {sys.executable}"


def _activation(environ: Mapping[str, str], cache_dir: str) -> str:
    """Start a process that is to run an archive which nobody has."""
    variables = {k: v for k, v in environ.items() if k not in ENVIRONMENT.values()}
    variables[ENVIRONMENT["hash"]] = "0" * 64
    variables[ENVIRONMENT["cache_dir"]] = cache_dir
    probe = [sys.executable, "-c", _PROBE]
    child = subprocess.run(
        probe, env=variables, cwd="/", capture_output=True, check=False
    )
    if child.returncode:
        raise LazyImportError(
            f"{sys.executable} does not read lazyimport.pth, so LAZYIMPORT_HASH does "
            "nothing; install ray-lazyimport into the site-packages of that Python, or "
            "call lazyimport.activation.start() in its sitecustomize"
        )
    return "lazyimport.pth is read when Python starts"


def _plugin(environ: Mapping[str, str]) -> str:
    """Say whether Ray processes that are started here load the plugin."""
    named = environ.get("RAY_RUNTIME_ENV_PLUGINS", "")
    try:
        classes = {one["class"] for one in json.loads(named or "[]")}
    except (ValueError, LookupError, TypeError) as error:
        raise LazyImportError(
            f"RAY_RUNTIME_ENV_PLUGINS is {named!r}, no JSON list of objects with a class"
        ) from error
    if _PLUGIN in classes:
        return f"{_PLUGIN} is in RAY_RUNTIME_ENV_PLUGINS"
    return (
        "not in RAY_RUNTIME_ENV_PLUGINS, so a runtime_env names an archive in env_vars "
        'and not as {"lazyimport": ...}'
    )


def _cache(cache: NodeCache) -> str:
    cache.make()
    with cache.lock("doctor", _PATIENCE):
        os.unlink(cache.lock_path("doctor"))
    return f"{cache.path}: nobody else can change it, this user can, and locks work"


def _disk(path: str) -> str:
    while not os.path.exists(path):  # it could not be made
        path = os.path.dirname(path)
    status, kind = os.statvfs(path), kind_of(path) or "some file system"
    free = status.f_bavail * status.f_frsize
    size = f"{free / 1e9:.1f} GB" if free >= 1e9 else f"{free / 1e6:.1f} MB"
    text = f"{kind}, {size} free"
    if status.f_flag & getattr(os, "ST_NOEXEC", 0):
        raise LazyImportError(f"{text}, noexec, so no native library loads; {_MOVE}")
    if is_out_of_inodes(status):
        text = f"{text}, but no inodes, so it takes no more files"
    if free < _LITTLE or is_out_of_inodes(status):
        raise LazyImportError(f"{text}; make room: lazyimport cache prune; or {_MOVE}")
    return text


def _read(store: ReadStore) -> str:
    started = time.monotonic()
    try:
        store.read(archive_key("0" * 64), 0, 1)
    except KeyMissing:
        pass  # an answer
    return f"{store.url} answers in {1000 * (time.monotonic() - started):.0f} ms"


def _write(store: ReadStore) -> str:
    _read(store)  # or a folder that is not mounted would be made
    changing, key = writable(store), f"{CLOCK}{os.urandom(8).hex()}"
    changing.put(key, io.BytesIO(b""))
    try:
        off = next(changing.list(key)).modified - time.time()
    finally:
        delete_object(changing, key)
    if abs(off) > _FAR:
        raise LazyImportError(
            f"its clock and that of this machine differ by {off:+.0f} s, so channels "
            "expire at another time here; set the clock"
        )
    return "an object was made, listed and deleted; its clock agrees with this one"


def _archive(text: str, settings: Settings) -> str:
    contents = read_contents(resolve(text, settings), settings)
    require_fit(contents)
    text = f"in {contents.place}, for this Python and platform"
    text += _large_files(contents, settings)
    if not this_python().has_bytecode(contents):
        text += (
            "; it has no bytecode for this Python, so each node compiles what it "
            f"imports; to start faster, push with --python 3.{sys.version_info.minor}"
        )
    return text


def _large_files(contents: Contents, settings: Settings) -> str:
    """Look for the large files of an archive here, else in the store."""
    hash, cache = contents.index.hash, NodeCache(settings.cache_dir)
    blobs = contents.blobs.values()
    if not blobs:
        return ""
    away = []
    for blob in blobs:
        try:
            cache.open_blob(blob).close()
        except MemberMissing:
            away.append(blob)
    for blob in away:
        if not settings.store:
            raise missing_blob(cache, blob, hash)
        store = store_of(settings)
        try:
            store.read(blob_key(blob.name, compressed=blob.compressed), 0, 1)
        except KeyMissing as error:
            raise missing_blob(cache, blob, hash, store.url) from error
    soon = sum(blob.size for blob in away if not blob.on_demand)
    disk = os.statvfs(cache.make_folder(BLOBS))
    free = disk.f_bavail * disk.f_frsize
    if soon > free:
        raise LazyImportError(
            f"{soon} bytes of its large files are to come, and the disk of the node "
            f"cache {cache.path} has {free} bytes free; make room: lazyimport cache "
            f"prune; or {_MOVE}"
        )
    return f"; {len(blobs)} large files, {len(blobs) - len(away)} of them here"
