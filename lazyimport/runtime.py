"""install, uninstall, current: the one archive that this process runs.

`process` is the only process state of lazyimport. Everything that `install` changes
in the interpreter is noted in its `Installation`, and `uninstall` takes it back.
"""

from __future__ import annotations

import os
import posix
import sys
from _thread import RLock
from time import perf_counter, time

from lazyimport.cache.opening import OpenedCache
from lazyimport.importing import Changes, ImportWatcher, running_python
from lazyimport.importing.looks import Looks
from lazyimport.importing.registration import Registration
from lazyimport.importing.tree import Tree
from lazyimport.importing.wrappers import Wrappers
from lazyimport.lazy import Later, errors, promote, traced
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.values import redact, strangers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import Protocol

    from lazyimport import environment, recording, reporting, tracing
    from lazyimport.cache import bytecode, materialize, place
    from lazyimport.delivery import blobs_wanted, obtaining, repair as repairs
    from lazyimport.format.archive import Archive
    from lazyimport.importing import collector, obstacles

    class Live(Protocol):
        """What the floor above knows of the versions that this process has run."""

        hashes: list[str]

else:
    # A start that finds its archive in the node cache does without, if it can.
    bytecode, materialize, place = map(
        Later, ("cache.bytecode", "cache.materialize", "cache.place")
    )
    blobs_wanted, obtaining, repairs = map(
        Later, ("delivery.blobs_wanted", "delivery.obtaining", "delivery.repair")
    )
    collector, obstacles = Later("importing.collector"), Later("importing.obstacles")
    recording, reporting, tracing = map(Later, ("recording", "reporting", "tracing"))
    environment = Later("environment")


@traced("install")
def install(
    hash: str | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_mode: str | None = None,
    policy: str | None = None,
    timeout: float | None = None,
    cache_limit: str | None = None,
    channel: str | None = None,
    artifact: str | None = None,
    verify: str | None = None,
    gc: str | None = None,
    files: str | None = None,
    live: bool | None = None,
) -> Installation:
    """Let this process import the modules of the archive *hash*.

    *hash* is 64 hex digits, as ``lazyimport push`` prints them. Without one, *channel*
    is looked up in the store, once, and the handle says which archive it points to;
    ``LAZYIMPORT_HASH`` wins over a channel. What is not passed is taken from the
    environment (``LAZYIMPORT_HASH``, ``LAZYIMPORT_STORE``, ...; see `Settings` for
    each; *store* and *cache_dir* may be paths). The archive is taken from the node
    cache; if it is not there it is fetched from the store, once for all processes of
    the node, in at most *timeout* seconds.

    In place of a hash, *artifact* is the URL of a zip, wheel or tarball that another
    tool uploaded. It is made into an archive, once for the node. The settings are put
    into ``os.environ``, so that child processes run the same archive: by its hash,
    whatever happens to the channel.

    Returns a handle that is a context manager: leaving it uninstalls. Installing the
    same hash again returns the same handle.

    Raises SettingsError, InstallError if another hash runs here already, WrongPython,
    or what kept the archive from arriving: ChannelError, SignatureError,
    ArchiveMissing, StoreError, CacheError, ArchiveError, or PackError for an artifact.
    """
    if sum(map(bool, (hash, channel, artifact))) > 1:
        raise obstacles.named_twice(hash, channel, artifact)
    settings = Settings.from_environ(os.environ, **locals())
    if strangers(posix.environ, known := ENVIRONMENT.values()):
        environment.warn_of_mistyped(os.environ, known, process.warn)
    with process.lock:
        started = perf_counter()
        opened, asked = None, None
        if settings.hash is None:
            asked = None if settings.artifact else settings.channel
            settings, opened = obtaining.resolve(settings, process.reporter)
        wanted = str(settings.hash)
        running = process.installation
        if running is not None:
            obstacles.refuse_another(running.hash, running.channel, wanted, channel)
            return running
        if process.has_installed:
            obstacles.refuse_leftovers(wanted)
        process.has_installed = True
        tree, fetched = open_tree(settings, opened)
        installation = Installation(tree, settings, asked, fetched)
        installation.seconds = perf_counter() - started
        installation.began = time() - installation.seconds
        if "opentelemetry.trace" in sys.modules:
            installation.traced = tracing.note(hash=tree.hash, bytes=fetched)
        process.installation = installation
        return installation


def uninstall() -> None:
    """Take the installed archive out of this process; nothing if there is none.

    Modules that were imported stay and keep working.
    """
    installation = process.installation
    if installation is not None:
        installation.uninstall()


def current() -> Installation | None:
    """Return the handle of what is installed in this process, or None."""
    return process.installation


class Installation:
    """What `install` did, and the way back.

    ``hash``, ``settings``; ``root``, the directory that ``__file__`` of the
    archive's modules lies in; ``fetched``, the bytes that were downloaded for
    it (0 if the node had it); ``channel``, the channel that was asked for the hash, or
    None; ``seconds``, how long `install` took.
    """

    seconds = 0.0
    began = 0.0  # since the epoch
    traced = False  # whether a span of OpenTelemetry tells

    def __init__(
        self, tree: Tree, settings: Settings, channel: str | None, fetched: int
    ) -> None:
        self.settings = settings
        self.hash = tree.hash
        self.channel = channel
        self.fetched = fetched
        self.tree = tree
        self.root = tree.root
        self.changes = Changes()
        store = settings.store and redact(settings.store)
        sys.audit("lazyimport.install", self.hash, store)
        if settings.files == "all":
            tree.put_all()
        try:
            self.registration = Registration(
                tree, settings.policy, self.changes, process.watcher, process.wrappers
            )
            for variable, value in settings.to_environ().items():
                self.changes.set_variable(variable, value)
            self.changes.set_variable("LAZYIMPORT_CHANNEL", None)
            if settings.profile is not None:
                self.record(f"{settings.profile}/")
        except BaseException:
            self.changes.undo()
            raise

    def record(self, path: str) -> None:
        """Record what this process reads and imports from now on, until `uninstall`.

        The profile is the file *path*; if that ends with a slash, a file of its own in
        that directory.
        """
        recording.Recording(self.tree, path, self.changes, process.warn)

    def uninstall(self) -> None:
        """Undo what `install` did; may be called again."""
        with process.lock:
            if process.installation is self:
                process.installation = None
                self.changes.undo()

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        state = "installed" if process.installation is self else "uninstalled"
        return f"<Installation of archive {self.hash}, {state}>"


class Process:
    """All that lazyimport knows of the process that it runs in.

    ``installation`` is what is installed, ``failure`` why nothing is although it
    should be, ``waiting`` what is being fetched; each may be None. ``has_installed``
    says whether anything ever was installed.
    ``live`` says which versions its code has had, None if that cannot change; ``kept``
    is what `lazyimport.keep` returns then. ``reporter`` is told what a person should
    know. ``watcher`` watches imports for all who need that, and ``wrappers`` notice who
    looks at files. ``held`` are the descriptors whose locks say which trees it uses, by
    their roots, to its end, whatever is uninstalled. ``seen`` are the marks that it
    found in them. ``lock`` is held while `installation` changes.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.installation: Installation | None = None
        self.has_installed = False
        self.live: Live | None = None
        self.kept: dict[str, object] = {}
        self.failure: obstacles.Failure | None = None
        self.waiting: Settings | None = None
        self.watcher = ImportWatcher()
        self.wrappers = Wrappers(Looks())
        self.held: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self._reporter: reporting.Reporter | None = None

    @property
    def reporter(self) -> reporting.Reporter:
        """What is told; Python's warnings until something else is set."""
        return self._reporter or reporting.WARNINGS

    @reporter.setter
    def reporter(self, reporter: reporting.Reporter) -> None:
        self._reporter = reporter

    def warn(self, text: str) -> None:
        """Tell a person what is not as it should be."""
        self.reporter.warn(text)

    def forked(self) -> None:
        """Forget a thread that was installing: it is not in the child."""
        self.lock = RLock()
        self.waiting = None


process = Process()
os.register_at_fork(after_in_child=process.forked)


def restore_loader(hash: str, name: str, path: str, package: bool) -> object:
    """Return a loader that was pickled, for the archive that this process runs."""
    from lazyimport.importing.pickled import remake_loader

    running = process.installation
    tree = running.tree if running is not None and running.hash == hash else None
    return remake_loader(tree, restore_loader, hash, name, path, package)


def open_tree(
    settings: Settings, opened: tuple[Archive, int] | None = None
) -> tuple[Tree, int]:
    """Return the tree of an archive that this process may run, and bytes fetched.

    It has been *opened*, or is the one whose hash is in *settings*. Raises what
    `install` does.
    """
    archive, fetched = opened or _open(settings)
    if settings.require_signature:
        obtaining.require_signed(settings)
    if settings.verify == "arrival":
        archive.rely_on_seal()
    if not archive.index.minors >> sys.version_info.minor & 1:
        raise obstacles.wrong_python(archive)
    _stand_by(archive, archive.hash, settings)
    return _tree_of(archive, settings), fetched


def _open(settings: Settings) -> tuple[Archive, int]:
    """Open an archive in the node cache, where nothing is loaded of what fetches one.

    If it is not there it is fetched.
    """
    hash, cache = str(settings.hash), OpenedCache(settings.cache_dir)
    try:
        if settings.cache_mode != "memory":
            archive = cache.open(hash, relied=settings.verify == "arrival")
            if archive is not None:
                return archive, 0
    except (errors.ArchiveError, errors.CacheError):
        pass  # what fetches it repairs it, does without it or says so
    process.waiting = settings
    try:
        return obtaining.obtain(settings, process.reporter)
    finally:
        process.waiting = None


def _stand_by(archive: Archive, hash: str, settings: Settings) -> None:
    """Have damage seen to that is found in an archive, and have its blobs brought.

    None of these functions refers to the archive, which is to go with its last user.
    """
    user = os.geteuid()
    in_memory: dict[bytes, mmap] = {}  # what did not come to the disk, by digest

    archive.index.report = lambda damage: repairs.give_up(settings, hash, damage)
    archive.repair = lambda damage: repairs.repair(
        settings, hash, damage, process.reporter
    )
    archive.blob = lambda blob: blobs_wanted.obtain_blob(
        settings, hash, blob, process.reporter, in_memory, user
    )


def _tree_of(archive: Archive, settings: Settings) -> Tree:
    cache = OpenedCache(settings.cache_dir)
    root = cache.tree_path(archive.hash)
    is_cached = archive.what == cache.archive_path(archive.hash)
    places = {os.geteuid(): root}

    def materializer() -> materialize.Materializer:
        user = os.geteuid()
        if user not in places:
            places[user] = place.place_for_user(root, settings.cache_limit)
        held = process.held, process.seen
        return materialize.Materializer(archive, places[user], *held)

    def warn(text: str) -> None:
        # On a disk that did not take the archive either, what fetched it has said so.
        if is_cached or settings.cache_mode == "memory":
            process.warn(text)

    tree = Tree(
        archive,
        root,
        materializer,
        restore=restore_loader,
        looks=process.wrappers.looks,
        warn=warn,
    )
    tree.made = promote if settings.gc == "promote" else None
    if settings.gc == "pause":
        tree.found = collector.pause
    if tree.variant < 0:  # what gets compiled here is worth keeping
        tree.bytecode = bytecode.BytecodeCache(cache, *running_python())
    return tree
