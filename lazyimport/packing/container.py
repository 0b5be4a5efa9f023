"""A zip, wheel or tarball of another tool becomes an archive in the node cache.

``docs/artifacts.md`` says what of it is packed, and under which paths. ``.gitignore``
files do not count: what somebody put into a container was meant to be there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from email.parser import BytesHeaderParser

from lazyimport.cache.node import NodeCache
from lazyimport.errors import PackError
from lazyimport.packing.config import Config, read_config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.layout import is_package, is_project, source_folder
from lazyimport.packing.roots import Packed, pack_roots
from lazyimport.packing.unpack import unpack
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores.artifact import Artifact

_JUNK = "__MACOSX"  # what the Finder puts beside the files
#: Bytes of a wheel's METADATA that are read: its headers, and more.
_LARGEST = 1 << 20


def pack_container(
    artifact: Artifact,
    file: str,
    scratch: str,
    cache: NodeCache,
    *,
    adjust: Callable[[Config], Config] = lambda config: config,
    jobs: int | None = None,
    reporter: Reporter = SILENT,
) -> Packed:
    """Pack *artifact*, which was downloaded to *file*; keep the archive in *cache*.

    *adjust* changes its configuration. The artifact is unpacked into *scratch*, a
    directory that the caller removes. Bytecode of unchanged sources comes from the
    artifact that was packed into this cache before.

    Raises PackError, OSError if the disk refuses, or CacheError.
    """
    folder = os.path.join(os.path.realpath(scratch), "tree")
    os.mkdir(folder)
    try:
        unpack(file, artifact.suffix, folder, what=artifact.url)
        roots, config = _find_roots(folder, artifact)
        config = adjust(config)
        return pack_roots(
            [],
            config,
            find_interpreters(config.python),
            cache,
            staged=roots,
            jobs=jobs,
            reporter=reporter,
            trust_stat=False,  # everything has just been written
        )
    except PackError as error:
        # Nobody can look into the directory where it happened.
        text = str(error).replace(folder, artifact.url)
        issues = tuple(i.replace(folder, artifact.url) for i in error.issues)
        raise PackError(text, issues=issues) from error


def _find_roots(folder: str, artifact: Artifact) -> tuple[list[str], Config]:
    """Return what to pack of *artifact*, unpacked in *folder*, and how.

    What is not packed is moved aside or removed. Raises PackError for a
    subdirectory that does not exist, or a bad pyproject.toml.
    """
    shutil.rmtree(os.path.join(folder, _JUNK), ignore_errors=True)
    if artifact.suffix == ".whl" and not artifact.subdirectory:
        return _roots_of_wheel(folder, artifact.url)
    if artifact.subdirectory:
        top = project = os.path.join(folder, artifact.subdirectory)
        if not os.path.isdir(top):
            there = ", ".join(sorted(os.listdir(folder))[:5])
            raise PackError(
                f"{artifact.url} has no folder {artifact.subdirectory!r}; at its top "
                f"are: {there}"
            )
    else:
        project = _without_top(folder)
        top = source_folder(project)
    has_config = os.path.isfile(os.path.join(project, "pyproject.toml"))
    config = read_config(project) if has_config else Config()
    _drop_init(top)
    return [top], replace(config, gitignore=False)


def _without_top(folder: str) -> str:
    names = os.listdir(folder)
    top = os.path.join(folder, names[0]) if len(names) == 1 else ""
    if not os.path.isdir(top):
        return folder
    if names[0].isidentifier() and (is_package(top) or not is_project(top)):
        return folder
    return top


def _roots_of_wheel(folder: str, what: str) -> tuple[list[str], Config]:
    roots = [folder]
    config = Config(gitignore=False)
    for number, name in enumerate(sorted(os.listdir(folder))):
        place = os.path.join(folder, name)
        if name.endswith(".data"):
            aside = f"{folder}.{number}"
            os.rename(place, aside)
            kinds = (os.path.join(aside, kind) for kind in ("purelib", "platlib"))
            roots += filter(os.path.isdir, kinds)
        elif name.endswith(".dist-info"):
            try:
                with open(os.path.join(place, "METADATA"), "rb") as file:
                    headers = BytesHeaderParser().parsebytes(file.read(_LARGEST))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                text = f"{what} is no wheel: it has no METADATA in its .dist-info"
                raise PackError(text) from None
            value = headers["Requires-Python"]
            config = replace(config, requires_python=str(value) if value else None)
    for root in roots:
        _drop_init(root)
    return roots, config


def _drop_init(top: str) -> None:
    # On sys.path it would be nobody's; to the packer it says that top is a package.
    path = os.path.join(top, "__init__.py")
    if os.path.lexists(path):
        os.unlink(path)
