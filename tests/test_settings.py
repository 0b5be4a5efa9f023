"""Settings: one immutable value, from environment variables and overrides."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from lazyimport.errors import SettingsError
from lazyimport.settings import ENVIRONMENT, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

HASH = "0123456789abcdef" * 4
FULL = {
    "LAZYIMPORT_HASH": HASH,
    "LAZYIMPORT_STORE": "gs://bucket/code",
    "LAZYIMPORT_CACHE_DIR": "/var/cache/lazyimport",
    "LAZYIMPORT_CACHE_MODE": "zstd",
    "LAZYIMPORT_POLICY": "path",
    "LAZYIMPORT_VERIFY": "import",
    "LAZYIMPORT_GC": "pause",
    "LAZYIMPORT_FILES": "all",
    "LAZYIMPORT_TIMEOUT": "12.5",
    "LAZYIMPORT_CACHE_LIMIT": "20GiB",
    "LAZYIMPORT_TRUSTED_KEYS": "/etc/lazyimport/keys",
    "LAZYIMPORT_CONNECTIONS": "12",
    "LAZYIMPORT_REQUIRE_SIGNATURE": "True",
    "LAZYIMPORT_CHANNEL_MINIMUM": "12",
    "LAZYIMPORT_DIGESTS": "openssl",
    "LAZYIMPORT_FETCH": "stream",
    "LAZYIMPORT_LIVE": "yes",
    "LAZYIMPORT_PROFILE": "/var/profiles",
}
BY_CHANNEL = {**FULL, "LAZYIMPORT_HASH": "", "LAZYIMPORT_CHANNEL": "prod"}


class TestFromEnviron:
    def test_everything(self) -> None:
        settings = Settings.from_environ(FULL)
        assert settings.hash == HASH
        assert settings.store == "gs://bucket/code"
        assert settings.cache_dir == "/var/cache/lazyimport"
        assert settings.cache_mode == "zstd"
        assert settings.policy == "path"
        assert settings.timeout == 12.5
        assert settings.trusted_keys == "/etc/lazyimport/keys"
        assert settings.connections == 12
        assert settings.require_signature is True
        assert settings.channel_minimum == 12
        assert settings.channel is None
        assert Settings.from_environ(BY_CHANNEL).channel == "prod"

    def test_beside_a_hash_there_is_no_channel(self) -> None:
        """Who is pinned must not ask, nor must those that inherit the settings."""
        settings = Settings.from_environ({**FULL, "LAZYIMPORT_CHANNEL": "prod"})
        assert settings == Settings.from_environ(FULL)
        assert Settings.from_environ(BY_CHANNEL).with_hash(HASH) == settings
        assert "LAZYIMPORT_CHANNEL" not in settings.to_environ()

    def test_nothing(self) -> None:
        settings = Settings.from_environ({})
        assert (settings.hash, settings.store) == (None, None)
        assert (settings.cache_mode, settings.policy) == ("raw", "archive")
        assert settings.timeout == 300
        assert settings.cache_dir == f"/tmp/lazyimport-{os.getuid()}"

    @pytest.mark.parametrize("variable", FULL)
    def test_an_empty_variable_is_one_that_is_not_set(self, variable: str) -> None:
        """A manifest cannot unset what its template sets."""
        assert Settings.from_environ({variable: ""}) == Settings.from_environ({})

    def test_only_the_mapping_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in FULL.items():
            monkeypatch.setenv(name, value)
        assert Settings.from_environ({}).hash is None
        assert Settings.from_environ({}).store is None

    def test_overrides_win(self) -> None:
        other = "f" * 64
        settings = Settings.from_environ(FULL, hash=other, timeout=3)
        assert (settings.hash, settings.timeout) == (other, 3)
        assert settings.store == "gs://bucket/code"

    def test_overrides_that_are_none_do_not(self) -> None:
        nothing = dict.fromkeys(ENVIRONMENT)
        assert Settings.from_environ(FULL, **nothing) == Settings.from_environ(FULL)

    @pytest.mark.parametrize(
        ("environ", "cache_dir"),
        [
            ({"XDG_CACHE_HOME": "/xdg/"}, "/xdg/lazyimport"),
            ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home/ray"}, "/xdg/lazyimport"),
            ({"XDG_CACHE_HOME": "rel", "HOME": "/h"}, "/h/.cache/lazyimport"),
            ({"HOME": "/home/ray"}, "/home/ray/.cache/lazyimport"),
            ({"HOME": "/"}, f"/tmp/lazyimport-{os.getuid()}"),
            ({"HOME": "", "XDG_CACHE_HOME": ""}, f"/tmp/lazyimport-{os.getuid()}"),
        ],
    )
    def test_default_cache_dir(self, environ: dict[str, str], cache_dir: str) -> None:
        assert Settings.from_environ(environ).cache_dir == cache_dir


class TestOlderSpelling:
    @pytest.mark.parametrize(
        ("environ", "store"),
        [
            ({"BUCKET_NAME": "b"}, "gs://b"),
            ({"BUCKET_NAME": "b", "SOURCE_CODE_PATH": "a/b"}, "gs://b/a/b"),
            ({"BUCKET_NAME": "b", "SOURCE_CODE_PATH": "/a/b/"}, "gs://b/a/b"),
            ({"BUCKET_NAME": "b", "SOURCE_CODE_PATH": ""}, "gs://b"),
            ({"SOURCE_CODE_PATH": "a/b"}, None),
            ({"BUCKET_NAME": ""}, None),
            ({"BUCKET_NAME": "b", "LAZYIMPORT_STORE": "file:///x"}, "file:///x"),
            ({"BUCKET_NAME": "b", "LAZYIMPORT_STORE": ""}, "gs://b"),
        ],
    )
    def test_store(self, environ: dict[str, str], store: str | None) -> None:
        assert Settings.from_environ(environ).store == store

    def test_an_override_wins(self) -> None:
        environ = {"BUCKET_NAME": "b"}
        assert Settings.from_environ(environ, store="/mnt/x").store == "file:///mnt/x"


class TestBadValues:
    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("LAZYIMPORT_HASH", "main"),
            ("LAZYIMPORT_HASH", HASH[:-1]),
            ("LAZYIMPORT_HASH", HASH + "0"),
            ("LAZYIMPORT_HASH", "g" * 64),
            ("LAZYIMPORT_STORE", "bucket/prefix"),
            ("LAZYIMPORT_CACHE_DIR", "relative/path"),
            ("LAZYIMPORT_PROFILE", "relative/path"),
            ("LAZYIMPORT_CACHE_DIR", "~/cache"),
            ("LAZYIMPORT_CACHE_MODE", "RAW"),
            ("LAZYIMPORT_POLICY", "disk"),
            ("LAZYIMPORT_TIMEOUT", "5 minutes"),
            ("LAZYIMPORT_TIMEOUT", "0"),
            ("LAZYIMPORT_TIMEOUT", "-1"),
            ("LAZYIMPORT_TIMEOUT", "nan"),
            ("LAZYIMPORT_TIMEOUT", "inf"),
            ("LAZYIMPORT_REQUIRE_SIGNATURE", "maybe"),
            ("LAZYIMPORT_CHANNEL_MINIMUM", "-1"),
            ("LAZYIMPORT_CHANNEL_MINIMUM", "9" * 5000),
            ("LAZYIMPORT_DIGESTS", "md5"),
            ("LAZYIMPORT_FETCH", "some"),
            ("LAZYIMPORT_CHANNEL", "feature/x"),
            ("LAZYIMPORT_CHANNEL", "../prod"),
            ("LAZYIMPORT_CHANNEL", ".prod"),
            ("LAZYIMPORT_CHANNEL", "pröd"),
            ("LAZYIMPORT_CHANNEL", "x" * 65),
            ("LAZYIMPORT_CHANNEL", "-"),
            ("LAZYIMPORT_CHANNEL", "4be8d1"),
        ],
    )
    def test_the_message_names_variable_and_value(
        self, variable: str, value: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            Settings.from_environ({variable: value})
        error = caught.value
        assert variable in str(error)
        assert repr(value) in str(error)
        assert ENVIRONMENT[error.name] == variable
        assert error.value == value

    @pytest.mark.parametrize("number", [0, 65, -1, "many", "", [4]])
    def test_number_of_connections(self, number: object) -> None:
        if number == "":
            assert (
                Settings.from_environ({"LAZYIMPORT_CONNECTIONS": ""}).connections == 8
            )
            return
        with pytest.raises(SettingsError, match="LAZYIMPORT_CONNECTIONS"):
            Settings(connections=number)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "name",
        ["store", "cache_dir", "channel", "trusted_keys", "artifact", "timeout"],
    )
    def test_what_is_no_text(self, name: str) -> None:
        """A mistake in a program is told as one in a variable is."""
        with pytest.raises(SettingsError) as caught:
            Settings.from_environ({}, **{name: [7]})  # type: ignore[arg-type]
        assert ENVIRONMENT[name] in str(caught.value)
        assert "[7]" in str(caught.value)
        assert (name, [7]) == (caught.value.name, caught.value.value)

    def test_folders_may_be_paths(self) -> None:
        settings = Settings(store=Path("/srv/code"), cache_dir=Path("/var/cache/li"))

        assert "file:///srv/code" == settings.store
        assert "/var/cache/li" == settings.cache_dir

    @pytest.mark.parametrize("given", [HASH.upper(), f" {HASH}\n"])
    def test_a_hash_as_people_paste_it(self, given: str) -> None:
        assert Settings(hash=given).hash == HASH


def test_private_key_among_the_trusted_ones_is_shown_nowhere() -> None:
    text = "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET"
    with pytest.raises(SettingsError, match="hold a private key") as caught:
        Settings(trusted_keys=text)
    assert "SECRET" not in f"{caught.value}{caught.value!r}{vars(caught.value)}"


class TestValue:
    """One immutable value."""

    def test_cannot_be_changed(self) -> None:
        settings = Settings.from_environ(FULL)
        for name in ENVIRONMENT:
            with pytest.raises(AttributeError, match=name):
                setattr(settings, name, "x")
            with pytest.raises(AttributeError, match=name):
                delattr(settings, name)
        with pytest.raises(AttributeError):
            settings.__setattr__("other", 1)
        assert settings == Settings.from_environ(FULL)

    def test_compares_and_hashes_by_value(self) -> None:
        one, same = Settings.from_environ(FULL), Settings.from_environ(FULL)
        assert one == same
        assert len({one, same, Settings()}) == 2
        for name, variable in ENVIRONMENT.items():
            if name == "artifact":
                continue  # stands in the place of a hash, or beside one made from it
            full = BY_CHANNEL if name == "channel" else FULL
            changed = {**full, variable: str(getattr(Settings(), name) or "")}
            assert Settings.from_environ(changed) != Settings.from_environ(full)
        assert one != FULL

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles(self, protocol: int) -> None:
        for environ in (FULL, BY_CHANNEL, {}):
            settings = Settings.from_environ(environ)
            assert pickle.loads(pickle.dumps(settings, protocol)) == settings

    @pytest.mark.parametrize(
        "environ",
        [FULL, BY_CHANNEL, {}, {"BUCKET_NAME": "b"}, {"HOME": "/home/ray"}],
        ids=len,
    )
    def test_to_environ_and_back(self, environ: dict[str, str]) -> None:
        """So that a child process gets the same, whatever its defaults would be."""
        settings = Settings.from_environ(environ)
        given = settings.to_environ()
        assert given.keys() <= set(ENVIRONMENT.values())
        assert all(isinstance(value, str) for value in given.values())
        assert Settings.from_environ({**given, "HOME": "/another"}) == settings

    def test_repr_shows_all(self) -> None:
        shown = repr(Settings.from_environ(FULL))
        assert shown.startswith("Settings(")
        for name in ENVIRONMENT:
            assert f"{name}=" in shown

    def test_every_setting_has_a_variable(self) -> None:
        assert sorted(ENVIRONMENT) == sorted(Settings.__slots__)


class TestArtifact:
    URL = "gs://bucket/code/app.zip"
    OTHER = "gs://bucket/code/new.zip"

    def test_in_place_of_a_hash(self) -> None:
        settings = Settings.from_environ({"LAZYIMPORT_ARTIFACT": self.URL})
        assert (settings.hash, settings.artifact) == (None, self.URL)

    def test_a_path_is_the_url_of_a_file(self) -> None:
        settings = Settings.from_environ({"LAZYIMPORT_ARTIFACT": "/builds/a%.zip"})
        assert settings.artifact == "file:///builds/a%25.zip"

    def test_what_is_no_url(self) -> None:
        with pytest.raises(SettingsError, match="LAZYIMPORT_ARTIFACT"):
            Settings.from_environ({"LAZYIMPORT_ARTIFACT": "app.zip"})

    @pytest.mark.parametrize("suffix", [".zip", ".whl", ".tar.gz", ".tgz", ".tar.zst"])
    def test_older_spelling(self, suffix: str) -> None:
        old = {"BUCKET_NAME": "bucket", "SOURCE_CODE_PATH": f"/code/app{suffix}"}
        settings = Settings.from_environ(old)
        assert settings.artifact == f"gs://bucket/code/app{suffix}"
        assert settings.store is None
        beside = Settings.from_environ({**old, "LAZYIMPORT_ARTIFACT": self.URL})
        assert beside.artifact == self.URL

    def test_older_spelling_of_a_folder_is_a_store(self) -> None:
        old = {"BUCKET_NAME": "bucket", "SOURCE_CODE_PATH": "code/zip"}
        settings = Settings.from_environ(old)
        assert (settings.store, settings.artifact) == ("gs://bucket/code/zip", None)

    def test_its_sha256_may_be_told_apart(self) -> None:
        variables = {
            "LAZYIMPORT_ARTIFACT": self.URL,
            "LAZYIMPORT_ARTIFACT_SHA256": HASH,
        }
        settings = Settings.from_environ(variables)
        assert settings.artifact == f"{self.URL}#sha256={HASH}"
        again = Settings.from_environ({**variables, **settings.to_environ()})
        assert again == settings
        passed = Settings.from_environ(variables, artifact=self.OTHER)
        assert passed.artifact == self.OTHER  # it is not about this one

    def test_a_hash_that_somebody_sets_wins(self) -> None:
        both = {"LAZYIMPORT_HASH": HASH, "LAZYIMPORT_ARTIFACT": self.URL}
        assert Settings.from_environ(both).hash == HASH
        assert Settings.from_environ(both).artifact is None
        passed = Settings.from_environ(both, artifact=self.OTHER)
        assert (passed.hash, passed.artifact) == (None, self.OTHER)
        passed = Settings.from_environ(both, hash="f" * 64)
        assert (passed.hash, passed.artifact) == ("f" * 64, None)

    def test_children_know_the_hash_and_where_it_is_from(self) -> None:
        parent = Settings.from_environ({"LAZYIMPORT_ARTIFACT": self.URL})
        environ = parent.with_hash(HASH).to_environ()
        child = Settings.from_environ(environ)
        assert (child.hash, child.artifact) == (HASH, self.URL)
        assert child.to_environ() == environ

    def test_another_artifact_makes_an_inherited_hash_void(self) -> None:
        """As when Ray starts a worker with an environment of its own."""
        parent = Settings.from_environ({"LAZYIMPORT_ARTIFACT": self.URL})
        inherited = parent.with_hash(HASH).to_environ()
        changed = Settings.from_environ(
            {**inherited, "LAZYIMPORT_ARTIFACT": self.OTHER}
        )
        assert (changed.hash, changed.artifact) == (None, self.OTHER)

    def test_another_hash_makes_an_inherited_artifact_void(self) -> None:
        parent = Settings.from_environ({"LAZYIMPORT_ARTIFACT": self.URL})
        inherited = parent.with_hash(HASH).to_environ()
        changed = Settings.from_environ({**inherited, "LAZYIMPORT_HASH": "f" * 64})
        assert (changed.hash, changed.artifact) == ("f" * 64, None)

    def test_value(self) -> None:
        settings = Settings(artifact=self.URL, cache_dir="/c")
        assert pickle.loads(pickle.dumps(settings)) == settings
        assert settings.with_hash(HASH) != settings
        assert settings.with_hash(HASH).with_hash(HASH) == settings.with_hash(HASH)


class TestOddText:
    """What YAML, secrets and shells make of values."""

    def test_the_end_of_a_line_is_none_of_a_url(self) -> None:
        for url in ("gs://bucket/code\n", " https://host/code \r\n"):
            assert Settings(store=url).store == url.strip()
        assert Settings(artifact="gs://b/a.zip\n").artifact == "gs://b/a.zip"
        assert Settings(store="/a folder ").store == "file:///a folder "
        assert Settings(store="/b\udcff").store == "file:///b\udcff"

    def test_a_folder_may_have_any_letters(self) -> None:
        """Also those that are not printed: spaces of other scripts, and lines' ends."""
        for name in ("a\u3000b", "a\xa0b", "a\u200db", "a\u2028b"):
            assert Settings(store=f"/{name}").store == f"file:///{name}"

    @pytest.mark.parametrize(
        "url", ["gs://b/a\nERROR x", "/a\x1b[2Jb", "gs://b\x85c", "gs://b\x7fc"]
    )
    def test_a_url_forges_no_line(self, url: str) -> None:
        with pytest.raises(SettingsError, match="control character") as error:
            Settings(store=url)
        assert str(error.value).isprintable()

    @pytest.mark.parametrize("path", ["/", "//"])
    def test_the_root_is_no_cache(self, path: str) -> None:
        with pytest.raises(SettingsError, match=f"'{path}'"):
            Settings(cache_dir=path)
