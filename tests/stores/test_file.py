"""The store in a folder."""

from __future__ import annotations

import errno
import io
import os
import posix
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from lazyimport.errors import (
    KeyMissing,
    SettingsError,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.stores import file as file_module, open_store
from lazyimport.stores.file import FileStore
from tests.stores.suite import (
    MutableStoreTests,
    Place,
    StoreMachine,
    calls,
    check_error,
    fill,
)
from tests.support.disks import as_nobody

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


#: Waits for a line, then puts its number; prints whether it created the object.
RACER = """
import io, sys
from lazyimport.stores import open_store
url, number = sys.argv[1:]
store = open_store(url)
print("ready", flush=True)
sys.stdin.readline()
print(store.put("dir/k", io.BytesIO(bytes([int(number)]) * 3_000_000)))
"""
#: Waits for a line, then adds lines to an object, one at a time.
ADDER = """
import sys
from lazyimport.stores import mutable, open_store
url, name = sys.argv[1:]
store = mutable(open_store(url))
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    while True:
        data, version = store.read_versioned("dir/k")
        if store.replace("dir/k", data + f"{name}-{number}\\n".encode(), version):
            break
print("done")
"""
#: Is about to replace an object, and stops there.
HOLDER = """
import posix, sys
from lazyimport.stores import mutable, open_store
def replace(*paths):
    print("in the middle", flush=True)
    sys.stdin.read()
posix.replace = replace
store = mutable(open_store(sys.argv[1]))
store.replace("k", b"second", store.read_versioned("k")[1])
"""
#: Puts a file that stops in the middle.
STUCK = """
import io, sys
from lazyimport.stores import open_store
class Stuck(io.BytesIO):
    def read(self, size=-1):
        if self.tell() == 0:
            return super().read(size)
        print("in the middle", flush=True)
        sys.stdin.read()
open_store(sys.argv[1]).put("k", Stuck(b"x" * 2_000_000))
"""


class FilePlace(Place):
    put_creates_store = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.store = FileStore(str(folder))
        self.gone = FileStore(str(folder.parent / "gone" / "too"))

    def plant(self, key: str, data: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def peek(self, key: str) -> bytes | None:
        path = self.folder / key
        return path.read_bytes() if path.is_file() else None

    def everything(self) -> set[str]:
        files = (
            path
            for path in self.folder.rglob("*")
            if not path.is_dir() and path != self.folder / ".lock"
        )
        return {path.relative_to(self.folder).as_posix() for path in files}


@pytest.fixture
def place(tmp_path: Path) -> FilePlace:
    return FilePlace(tmp_path / "store")


@pytest.fixture
def store(place: FilePlace) -> FileStore:
    return FileStore(str(place.folder))


class TestFileStore(MutableStoreTests):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return FilePlace(tmp_path / "100% of store")


@pytest.fixture(params=["EPERM", "ENOTSUP", "ENOSYS"])
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    code = getattr(errno, request.param)

    def link(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)


class TestFileStoreWithoutLinks(MutableStoreTests):
    """FAT, SMB, and most file systems in user space have no hard links."""

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
        def link(*args: object, **options: object) -> None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr(os, "link", link)
        return FilePlace(tmp_path / "store")


class FileMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.store = FileStore(self.folder)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


FileMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)


TestFileModel = FileMachine.TestCase


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "folder"),
        [
            ("file:///a/b", "/a/b"),
            ("FILE:///a/b/", "/a/b"),
            ("file://localhost/a", "/a"),
            ("file:///", "/"),
            ("file:///with%20space/100%25", "/with space/100%"),
            ("file:///with space/question?/hash#", "/with space/question?/hash#"),
            ("file:///%C3%A4", "/ä"),
        ],
    )
    def test_names_a_folder(self, url: str, folder: str) -> None:
        store = open_store(url)
        assert isinstance(store, FileStore)
        assert store.folder == folder
        again = open_store(store.url)
        assert isinstance(again, FileStore)
        assert again.folder == folder

    @pytest.mark.parametrize(
        "url", ["file://", "file://host/a", "file://relative", "file:///a%00b"]
    )
    def test_names_no_folder(self, url: str) -> None:
        with pytest.raises(SettingsError) as caught:
            open_store(url)
        assert caught.value.name == "store"

    def test_must_be_absolute(self) -> None:
        with pytest.raises(SettingsError, match="absolute"):
            FileStore("relative")

    def test_passwords_are_not_repeated(self) -> None:
        with pytest.raises(SettingsError) as caught:
            open_store("file://me:secret@host/a")
        assert "secret" not in str(caught.value)
        assert "secret" not in str(caught.value.value)


class TestFolders:
    def test_a_key_below_an_object(self, place: FilePlace, store: FileStore) -> None:
        place.plant("a", b"1")
        for method in ("read", "download", "delete"):
            with pytest.raises(KeyMissing):
                calls(store, "a/b")[method]()
        with pytest.raises(StoreError, match="an object lies where") as caught:
            store.put("a/b", io.BytesIO(b""))
        check_error(caught.value, store, "a/b")
        assert place.everything() == {"a"}

    def test_a_key_that_is_a_folder(self, place: FilePlace, store: FileStore) -> None:
        """It is no object, so put must not say that it existed."""
        place.plant("a/b", b"1")
        for method in ("read", "download", "delete"):
            with pytest.raises(KeyMissing):
                calls(store, "a")[method]()
        with pytest.raises(StoreError, match="folder of other objects") as caught:
            store.put("a", io.BytesIO(b""))
        check_error(caught.value, store, "a")
        assert place.everything() == {"a/b"}

    @pytest.mark.parametrize("method", ["read", "download", "list", "delete", "put"])
    def test_a_store_that_is_a_file(self, tmp_path: Path, method: str) -> None:
        (tmp_path / "f").write_bytes(b"")
        with pytest.raises(StoreMissing):
            calls(FileStore(str(tmp_path / "f")), "k")[method]()

    def test_a_folder_that_is_made_while_it_is_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first push lists what there is beside its first upload."""
        folder = tmp_path / "new"
        scan = os.scandir

        def slow(path: str) -> Iterator[os.DirEntry[str]]:
            try:
                return scan(path)
            finally:
                folder.mkdir(exist_ok=True)

        monkeypatch.setattr("os.scandir", slow)

        with pytest.raises(StoreMissing):
            list(FileStore(str(folder)).list("blobs/"))

    @pytest.mark.parametrize("make", [os.mkfifo, partial(os.symlink, "/dev/zero")])
    def test_what_is_no_file_is_not_read(
        self, place: FilePlace, store: FileStore, make: Callable[[Path], object]
    ) -> None:
        """Somebody who may write to the folder would let all others wait for ever."""
        make(place.folder / "k")

        for call in (
            partial(store.read, "k", 0, 1),
            partial(store.download, "k", io.BytesIO()),
            partial(store.read_versioned, "k"),
            partial(store.replace, "k", b"x", "0"),
        ):
            with pytest.raises(StoreError, match="is no regular file; delete it there"):
                call()
        assert [] == list(store.list(""))

    def test_links_to_folders_are_not_followed(
        self, place: FilePlace, store: FileStore
    ) -> None:
        place.plant("a/b", b"")
        (place.folder / "a" / "loop").symlink_to(place.folder)
        (place.folder / "c").symlink_to(place.folder / "a" / "b")
        (place.folder / "circle").symlink_to("circle")
        assert [item.key for item in store.list()] == ["a/b", "c"]

    def test_names_that_are_no_text_are_left_out(
        self, place: FilePlace, store: FileStore
    ) -> None:
        (Path(os.fsdecode(os.fsencode(place.folder) + b"/\xff"))).write_bytes(b"")
        place.plant("k", b"")
        assert [item.key for item in store.list()] == ["k"]

    def test_others_may_read_as_the_umask_says(
        self, place: FilePlace, store: FileStore
    ) -> None:
        before = os.umask(0o027)
        try:
            store.put("dir/k", io.BytesIO(b""))
        finally:
            os.umask(before)
        mode = stat.S_IMODE((place.folder / "dir" / "k").stat().st_mode)
        assert mode == 0o640
        assert stat.S_IMODE((place.folder / "dir").stat().st_mode) == 0o750

    def test_what_goes_away_during_a_listing_is_left_out(
        self, place: FilePlace, store: FileStore
    ) -> None:
        for key in ("a", "b", "c/d", "e/f"):
            place.plant(key, b"")
        listing = store.list()
        assert next(listing).key == "a"
        (place.folder / "b").unlink()
        shutil.rmtree(place.folder / "c")
        assert [item.key for item in listing] == ["e/f"]


class TestDenied:
    @pytest.fixture
    def place(self) -> Iterator[FilePlace]:
        # Not in tmp_path, which only its owner may enter.
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            place = FilePlace(Path(folder) / "store")
            place.plant("dir/k", b"1")
            yield place
            for path, _, _ in os.walk(place.folder):
                Path(path).chmod(0o755)

    @pytest.mark.parametrize("method", ["read", "download"])
    def test_an_unreadable_object(
        self, place: FilePlace, store: FileStore, method: str
    ) -> None:
        (place.folder / "dir" / "k").chmod(0)
        with as_nobody(), pytest.raises(StoreDenied, match="user id") as caught:
            calls(store, "dir/k")[method]()
        check_error(caught.value, store, "dir/k")

    @pytest.mark.parametrize("method", ["read", "download", "put", "delete"])
    def test_a_locked_folder(
        self, place: FilePlace, store: FileStore, method: str
    ) -> None:
        (place.folder / "dir").chmod(0)
        with as_nobody(), pytest.raises(StoreDenied) as caught:
            calls(store, "dir/new")[method]()
        check_error(caught.value, store, "dir/new")

    @pytest.mark.parametrize(
        ("method", "key"), [("put", "dir/new"), ("delete", "dir/k")]
    )
    def test_a_folder_that_may_only_be_read(
        self, place: FilePlace, store: FileStore, method: str, key: str
    ) -> None:
        (place.folder / "dir").chmod(0o555)
        with as_nobody():
            assert store.read("dir/k") == b"1"
            with pytest.raises(StoreDenied) as caught:
                calls(store, key)[method]()
        check_error(caught.value, store, key)
        assert place.everything() == {"dir/k"}

    @pytest.mark.parametrize("folder", ["", "dir"])
    def test_a_folder_that_may_not_be_listed(
        self, place: FilePlace, store: FileStore, folder: str
    ) -> None:
        (place.folder / folder).chmod(0o111)
        with as_nobody(), pytest.raises(StoreDenied) as caught:
            list(store.list())
        check_error(caught.value, store, None)

    def test_a_store_that_may_not_be_created(self, place: FilePlace) -> None:
        place.folder.parent.chmod(0o555)
        store = FileStore(str(place.folder.parent / "new"))
        with as_nobody(), pytest.raises(StoreDenied):
            store.put("k", io.BytesIO(b""))

    def test_a_store_behind_a_locked_folder_is_not_missing(
        self, place: FilePlace
    ) -> None:
        place.folder.chmod(0)
        store = FileStore(str(place.folder / "dir"))
        for call in calls(store, "k").values():
            with as_nobody(), pytest.raises(StoreDenied):
                call()


class TestTrouble:
    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Path]:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
        if (
            not shutil.which("mount")
            or subprocess.run(mount, check=False, capture_output=True).returncode
        ):
            pytest.skip("may not mount a small disk here")
        yield disk
        subprocess.run(["umount", str(disk)], check=True)

    def test_a_full_disk(self, small_disk: Path) -> None:
        store = FileStore(str(small_disk))
        with pytest.raises(StoreError, match="No space left") as caught:
            store.put("k", io.BytesIO(fill(1 << 20)))
        assert type(caught.value) is StoreError
        assert "make room" in str(caught.value)
        assert not caught.value.retryable
        check_error(caught.value, store, "k")
        assert list(small_disk.iterdir()) == []
        assert store.put("k", io.BytesIO(fill(1000)))

    @pytest.mark.parametrize(
        ("code", "kind", "advice"),
        [
            ("ENOSPC", StoreError, "make room"),
            ("EDQUOT", StoreError, "make room"),
            ("EROFS", StoreDenied, "mount its file system for writing"),
            ("EACCES", StoreDenied, "the right to do so"),
            ("EIO", StoreUnavailable, "try again"),
            ("ESTALE", StoreUnavailable, "try again"),
            ("ELOOP", StoreError, "are sound"),
        ],
    )
    def test_what_a_disk_may_answer(
        self,
        place: FilePlace,
        store: FileStore,
        monkeypatch: pytest.MonkeyPatch,
        code: str,
        kind: type[StoreError],
        advice: str,
    ) -> None:
        number = getattr(errno, code)

        def fsync(descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError) as caught:
            store.put("k", io.BytesIO(b"1"))
        assert type(caught.value) is kind
        assert os.strerror(number) in str(caught.value)
        assert advice in str(caught.value)
        check_error(caught.value, store, "k")
        assert place.everything() == set()

    @pytest.mark.parametrize("function", ["link", "fsync of the folder"])
    def test_the_last_step_fails(
        self, store: FileStore, monkeypatch: pytest.MonkeyPatch, function: str
    ) -> None:
        fsync = os.fsync

        def refuse(descriptor: int | str, *args: object) -> None:
            if isinstance(descriptor, str) or stat.S_ISDIR(
                os.fstat(descriptor).st_mode
            ):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        monkeypatch.setattr(os, function.partition(" ")[0], refuse)
        with pytest.raises(StoreUnavailable) as caught:
            store.put("k", io.BytesIO(b"1"))
        check_error(caught.value, store, "k")

    def test_a_killed_writer(self, place: FilePlace, store: FileStore) -> None:
        writer = subprocess.Popen(
            [sys.executable, "-c", STUCK, store.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"in the middle\n"
            assert len(place.everything()) == 1
            writer.send_signal(signal.SIGKILL)
        assert len(place.everything()) == 1
        assert list(store.list()) == []
        with pytest.raises(KeyMissing):
            store.read("k")
        assert store.put("k", io.BytesIO(b"whole"))
        assert place.peek("k") == b"whole"
        assert [item.key for item in store.list()] == ["k"]

    def test_nothing_is_promised_before_it_is_on_the_disk(
        self, place: FilePlace, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file before it gets its name, then every folder that changed."""
        synced = []
        fsync = os.fsync

        def spy(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            kind = "folder" if os.path.isdir(path) else "file"
            name = os.path.relpath(path, place.folder) if kind == "folder" else ""
            synced.append((kind, name, place.peek("a/b/k") is not None))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", spy)
        store.put("a/b/k", io.BytesIO(b""))
        assert synced == [
            ("folder", ".", False),
            ("folder", "a", False),
            ("file", "", False),
            ("folder", "a/b", True),
        ]

    def test_folders_that_cannot_be_synced(
        self, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsync = os.fsync

        def refuse(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "no sync of folders")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", refuse)
        assert store.put("dir/k", io.BytesIO(b""))


class TestRaces:
    def test_of_eight_processes_one_creates(
        self, place: FilePlace, store: FileStore
    ) -> None:
        created = go(RACER, [[store.url, str(number)] for number in range(8)])
        assert sorted(created) == ["False"] * 7 + ["True"]
        assert place.peek("dir/k") == bytes([created.index("True")]) * 3_000_000
        assert place.everything() == {"dir/k"}

    def test_a_link_that_nfs_repeated(
        self, place: FilePlace, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first request succeeded and its answer got lost."""
        link: Callable[[str, str], None] = os.link

        def twice(source: str, target: str) -> None:
            link(source, target)
            link(source, target)

        monkeypatch.setattr(os, "link", twice)
        assert store.put("k", io.BytesIO(b"1")) is True
        assert place.everything() == {"k"}

    def test_created_while_we_were_writing(
        self, place: FilePlace, store: FileStore
    ) -> None:
        class Late(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                place.plant("k", b"theirs")
                return super().read(size)

        assert store.put("k", Late(b"ours")) is False
        assert place.peek("k") == b"theirs"
        assert place.everything() == {"k"}

    def test_created_while_we_were_writing_without_links(
        self, place: FilePlace, store: FileStore, no_links: None
    ) -> None:
        self.test_created_while_we_were_writing(place, store)

    def test_a_claim_that_nobody_gives_back(
        self,
        place: FilePlace,
        store: FileStore,
        no_links: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(file_module, "_PATIENCE", 0.05)
        place.plant("dir/.claim-k", b"")
        with pytest.raises(StoreUnavailable) as caught:
            store.put("dir/k", io.BytesIO(b""))
        assert f"{place.folder}/dir/.claim-k" in str(caught.value)
        assert caught.value.retryable
        check_error(caught.value, store, "dir/k")
        assert place.everything() == {"dir/.claim-k"}

    @pytest.mark.parametrize("published", [True, False])
    def test_waiting_for_the_claim_of_another(
        self,
        place: FilePlace,
        store: FileStore,
        no_links: None,
        monkeypatch: pytest.MonkeyPatch,
        published: bool,
    ) -> None:
        def other_goes_on(seconds: float) -> None:
            if published:
                place.plant("k", b"theirs")
            (place.folder / ".claim-k").unlink()

        monkeypatch.setattr(time, "sleep", other_goes_on)
        place.plant(".claim-k", b"")
        assert store.put("k", io.BytesIO(b"ours")) is not published
        assert place.everything() == {"k"}

    def test_folders_made_by_two_at_once(self, store: FileStore) -> None:
        barrier = threading.Barrier(8)
        created = []

        def race(number: int) -> None:
            barrier.wait()
            created.append(store.put(f"a/b/c/d/{number}", io.BytesIO(b"")))

        threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert created == [True] * 8


class TestReplacing:
    def test_no_change_of_many_processes_is_lost(
        self, place: FilePlace, store: FileStore
    ) -> None:
        place.plant("dir/k", b"")
        assert go(ADDER, [[store.url, name] for name in "abcd"]) == ["done"] * 4
        lines = store.read("dir/k").decode().split()
        assert sorted(lines) == sorted(f"{n}-{i}" for n in "abcd" for i in range(20))

    def test_a_writer_that_is_killed_is_not_waited_for(
        self, place: FilePlace, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.plant("k", b"first")
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, store.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "in the middle\n"
            monkeypatch.setattr(file_module, "_PATIENCE", 0.05)
            for call in (lambda: store.delete("k"), lambda: replace(store, b"third")):
                with pytest.raises(StoreUnavailable, match="another process") as caught:
                    call()
                check_error(caught.value, store, "k")
            assert store.read("k") == b"first"
            holder.kill()
        assert replace(store, b"third")
        assert store.read("k") == b"third"
        assert [item.key for item in store.list()] == ["k"]

    def test_who_may_write_in_the_folder_may_lock(
        self, place: FilePlace, store: FileStore
    ) -> None:
        place.folder.chmod(0o2770)
        place.plant("k", b"first")
        assert replace(store, b"second")
        assert stat.S_IMODE((place.folder / ".lock").stat().st_mode) == 0o660

    def test_a_lock_that_is_a_link_is_not_followed(
        self, place: FilePlace, store: FileStore, tmp_path: Path
    ) -> None:
        """Whoever may write to the folder could let another user make any file."""
        place.plant("k", b"first")
        (place.folder / ".lock").symlink_to(tmp_path / "made")
        with pytest.raises(StoreError):
            replace(store, b"second")
        assert not (tmp_path / "made").exists()
        assert store.read("k") == b"first"

    def test_on_the_disk_before_it_has_its_name(
        self, place: FilePlace, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.plant("k", b"first")
        events = []

        def note(module: ModuleType, name: str) -> None:
            function = getattr(module, name)

            def noted(*arguments: object) -> None:
                events.append(name)
                function(*arguments)

            monkeypatch.setattr(module, name, noted)

        note(os, "fsync")
        note(posix, "replace")
        assert replace(store, b"second")
        assert events == ["fsync", "replace", "fsync"]

    def test_a_full_disk_changes_nothing(
        self, place: FilePlace, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fsync(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        place.plant("k", b"first")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(StoreError, match="No space left") as caught:
                replace(store, b"second")
        check_error(caught.value, store, "k")
        assert store.read("k") == b"first"
        assert place.everything() == {"k"}


def replace(store: FileStore, data: bytes) -> bool:
    return store.replace("k", data, store.read_versioned("k")[1])


def go(program: str, arguments: list[list[str]]) -> list[str]:
    """Start a process for each of *arguments*, let all go; return what they said."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *some],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for some in arguments
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate()[0].strip() for process in processes]
