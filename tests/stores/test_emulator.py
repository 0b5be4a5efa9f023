"""The store in Cloud Storage against gcp-storage-emulator, which others wrote.

It is laxer than our fake (it has no preconditions, for one), but it read the
documentation with other eyes.
"""

from __future__ import annotations

import pytest

from lazyimport.stores.gcs import GcsStore
from tests.stores.suite import Place, StoreTests

pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")
emulator = pytest.importorskip("gcp_storage_emulator.server")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = pytest.mark.gcs

NO_PRECONDITIONS = "the emulator creates whether the object exists or not"
#: Names of tests of the suite that it cannot pass, and why.
CANNOT = {
    "test_put_never_changes_what_exists": NO_PRECONDITIONS,
    "test_of_sixteen_writers_one_creates": NO_PRECONDITIONS,
}


class EmulatorPlace(Place):
    def __init__(self) -> None:
        from google.cloud.storage import Client

        self.bucket = Client(project="test").create_bucket("bucket")
        self.store = GcsStore("bucket", "pre/fix", timeout=5)
        self.gone = GcsStore("gone", timeout=5)

    def plant(self, key: str, data: bytes) -> None:
        self.bucket.blob(f"pre/fix/{key}").upload_from_string(data)

    def peek(self, key: str) -> bytes | None:
        blob = self.bucket.blob(f"pre/fix/{key}")
        content: bytes | None = blob.download_as_bytes() if blob.exists() else None
        return content

    def everything(self) -> set[str]:
        names = (blob.name for blob in self.bucket.list_blobs())
        return {name.removeprefix("pre/fix/") for name in names}


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    server = emulator.create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        port = server._api._httpd.server_address[1]
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield server
    server.stop()


class TestEmulator(StoreTests):
    @pytest.fixture
    def place(self, server: Any, request: pytest.FixtureRequest) -> Place:
        name = getattr(request.node, "originalname", "")
        if name in CANNOT:
            pytest.skip(CANNOT[name])
        server.wipe()
        return EmulatorPlace()
