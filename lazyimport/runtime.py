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

from lazyimport.cache.sealed import open_sealed, tree_path
from lazyimport.importing import Changes, ImportWatcher
from lazyimport.importing.late_tree import LateTree, opened
from lazyimport.importing.looks import Looks
from lazyimport.importing.registration import Registration
from lazyimport.importing.wrappers import Wrappers
from lazyimport.lazy import Later, errors, leave_generations, traced
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.values import redact, strangers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lazyimport import environment, recording, reporting, tracing, trees
    from lazyimport.delivery import obtaining
    from lazyimport.format.archive import Archive
    from lazyimport.importing import obstacles
    from lazyimport.importing.tree import Tree

    class Live(Protocol):
        """What the layer above knows of the versions that this process has run."""

        hashes: list[str]

else:
    # A start that finds its archive in the node cache does without, if it can.
    environment, obtaining = Later("environment"), Later("delivery.obtaining")
    obstacles, trees = Later("importing.obstacles"), Later("trees")
    recording, reporting, tracing = map(Later, ("recording", "reporting", "tracing"))


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
    if settings.gc == "run":
        leave_generations()
    if strangers(posix.environ, known := ENVIRONMENT.values()):
        environment.warn_of_mistyped(os.environ, known, process.warn)
    with process.lock:
        started = perf_counter()
        archive, asked = None, None
        if settings.hash is None:
            asked = None if settings.artifact else settings.channel
            settings, archive = obtaining.resolve(settings, process.reporter)
        wanted = str(settings.hash)
        running = process.installation
        if running is not None:
            obstacles.refuse_another(running.hash, running.channel, wanted, channel)
            return running
        if process.has_installed:
            obstacles.refuse_leftovers(wanted)
        process.has_installed = True
        late, fetched = _tree_of(settings, archive)
        installation = Installation(late, settings, asked, fetched)
        installation.seconds = perf_counter() - started
        installation.began = time() - installation.seconds
        if "opentelemetry.trace" in sys.modules:
            installation.traced = tracing.note(hash=late.hash, bytes=fetched)
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
        self, late: LateTree, settings: Settings, channel: str | None, fetched: int
    ) -> None:
        self.settings = settings
        self.hash = late.hash
        self.channel = channel
        self.fetched = fetched
        self.root = late.root
        self.changes = Changes()
        store = settings.store and redact(settings.store)
        sys.audit("lazyimport.install", self.hash, store)
        if settings.files == "all":
            late.tree.put_all()
        try:
            self.registration = Registration(
                late, settings.policy, self.changes, process.watcher, process.wrappers
            )
            for variable, value in settings.to_environ().items():
                self.changes.set_variable(variable, value)
            self.changes.set_variable("LAZYIMPORT_CHANNEL", None)
            if settings.profile is not None:
                self.record(f"{settings.profile}/")
        except BaseException:
            self.changes.undo()
            raise

    @property
    def tree(self) -> Tree:
        """The tree of the archive, which is opened when somebody needs it."""
        return self.registration.tree

    @property
    def opened(self) -> Tree | None:
        """The same, but None if nobody has needed it yet."""
        late = self.registration.late
        return late.tree if late.is_open else None

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
    found in them. ``restore`` is what pickles of loaders name. ``lock`` is held while
    `installation` changes.
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
        self.restore = restore_loader
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


def restore_loader(hash: str, name: str, path: str, package: bool) -> object:
    """Return a loader that was pickled, for the archive that this process runs."""
    from lazyimport.importing.pickled import remake_loader

    running = process.installation
    tree = running.tree if running is not None and running.hash == hash else None
    return remake_loader(tree, restore_loader, hash, name, path, package)


process = Process()
os.register_at_fork(after_in_child=process.forked)


def _tree_of(
    settings: Settings, archive: tuple[Archive, int] | None
) -> tuple[LateTree, int]:
    """Return the tree of an archive that this process may run, and bytes fetched.

    What lies in the node cache, sealed, is held now, and opened when somebody looks for
    something in it.
    """
    hash, cache = str(settings.hash), settings.cache_dir
    minors, opening = (0, None)
    if archive is None and _is_believed(settings):
        try:
            minors, opening = open_sealed(cache, hash) or (0, None)
        except errors.CacheError:
            pass  # what fetches it does without it or says so
    if opening is None or not minors >> sys.version_info.minor & 1:
        tree, fetched = trees.open_tree(settings, process, archive)
        return opened(tree), fetched
    user = os.geteuid()

    def make() -> Tree:
        return trees.open_sealed(opening, settings, process, user)

    looks = process.wrappers.looks
    return LateTree(hash, tree_path(cache, hash), looks, make), 0


def _is_believed(settings: Settings) -> bool:
    """Return whether an archive is run without more than a look at its seal."""
    return (
        settings.verify == "arrival"
        and settings.cache_mode != "memory"
        and not settings.require_signature
    )
