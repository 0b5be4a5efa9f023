"""Manifests: the hash changes, and nothing else."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest

pytest.importorskip("ruamel.yaml")


from lazyimport.deploy.application import CRON_JOB, JOB, SERVE, SERVICE
from lazyimport.deploy.errors import DeployError, ManifestError
from lazyimport.deploy.manifest import Manifest
from lazyimport.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

A, B = "a1" * 32, "b2" * 32

SERVED = """\
# what we serve
proxy_location: EveryNode

applications:
  - name: shop   # the only one
    import_path: shop.serve:app
    route_prefix: /
    runtime_env:
      env_vars:
        LOG: "1"   # keep
        LAZYIMPORT_HASH: {hash}  # set by CI
      pip: [x]
    deployments:
      - name: Shop
        num_replicas: 3
"""

SERVICE_HEAD = """\
apiVersion: ray.io/v1
kind: RayService
metadata:
  name: shop
  namespace: prod
spec:
  serveConfigV2: |
"""

SERVICE_TAIL = """\
  rayClusterConfig:   # not touched
    rayVersion: '2.60.0'
    headGroupSpec:
      rayStartParams: {}
"""

JOB_TEXT = """\
apiVersion: ray.io/v1
kind: RayJob
metadata: {name: nightly}
spec:
  entrypoint: python -m shop.nightly   # runs at 3
  shutdownAfterJobFinishes: true
"""


CRON_JOB_TEXT = """\
apiVersion: ray.io/v1
kind: RayCronJob
metadata: {name: hourly}
spec:
  schedule: "0 * * * *"
  jobTemplate:
    entrypoint: python -m shop.hourly
    shutdownAfterJobFinishes: true
"""


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line if line.strip() else line for line in lines(text))


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def service(serve: str, by: int = 4) -> str:
    return SERVICE_HEAD + indented(serve, by) + SERVICE_TAIL


def deployed(text: str, hash: str = B, *names: str) -> str:
    return Manifest(text, "f.yaml").with_hash(hash, names).text


def added(before: str, after: str) -> list[str]:
    """The lines that *after* has more; nothing else may differ."""
    rest, more = lines(before), []
    for line in lines(after):
        if rest and rest[0] == line:
            rest.pop(0)
        else:
            more.append(line)
    assert [] == rest
    return more


def without(field: str) -> str:
    """SERVED without *field* and all under it."""
    return re.sub(rf"(?m)^( *){field}:.*\n(?:\1 +.*\n)*", "", SERVED)


class TestReplacing:
    """A hash that is there is replaced, in whatever it is wrapped."""

    @pytest.mark.parametrize("wrap", [str, service], ids=["serve", "service"])
    @pytest.mark.parametrize("quote", ["", "'", '"'])
    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_only_the_digits(
        self, wrap: Callable[[str], str], quote: str, newline: str
    ) -> None:
        text = wrap(SERVED).replace("\n", newline)
        before = text.replace("{hash}", f"{quote}{A}{quote}")

        assert text.replace("{hash}", f"{quote}{B}{quote}") == deployed(before)

    def test_inside_a_service_of_any_indentation(self) -> None:
        for by in (3, 4, 6, 11):
            text = service(SERVED, by)

            assert text.replace("{hash}", B) == deployed(text.replace("{hash}", A))

    def test_with_an_indentation_indicator(self) -> None:
        text = service(SERVED, 4).replace("serveConfigV2: |", "serveConfigV2: |2-")

        assert text.replace("{hash}", B) == deployed(text.replace("{hash}", A))

    def test_in_a_job(self) -> None:
        text = (
            JOB_TEXT + "  runtimeEnvYAML: |\n    env_vars:\n"
            "      LAZYIMPORT_HASH: {hash}\n      # end\n    working_dir: x\n"
        )

        assert text.replace("{hash}", B) == deployed(text.replace("{hash}", A))

    def test_in_a_cron_job(self) -> None:
        text = CRON_JOB_TEXT.replace(
            "    shutdown",
            "    runtimeEnvYAML: |\n      env_vars: {LAZYIMPORT_HASH: {hash}}\n    shutdown",
        )

        assert text.replace("{hash}", B) == deployed(text.replace("{hash}", A))

    def test_in_one_of_several_documents(self) -> None:
        text = f"# first\na: 1\n---\n{service(SERVED)}---\n{JOB_TEXT}---\n"
        after = deployed(text.replace("{hash}", A), B, "shop")

        assert text.replace("{hash}", B) == after

    def test_where_the_plugin_is_used(self) -> None:
        text = re.sub(
            r"(?s)env_vars:.*set by CI", "lazyimport: {hash: {hash}} #", SERVED
        )

        assert text.replace("{hash}", B) == deployed(text.replace("{hash}", A))

    def test_in_json(self) -> None:
        """As kubectl get -o json prints it: YAML too, with the text in quotes."""
        document = {
            "kind": "RayService",
            "metadata": {"name": "shop"},
            "spec": {"serveConfigV2": SERVED.replace("{hash}", A), "x": [1, 2]},
        }
        after = json.loads(deployed(json.dumps(document, indent=2)))

        document["spec"]["serveConfigV2"] = SERVED.replace("{hash}", B)  # type: ignore[index]
        assert document == after

    def test_in_json_that_is_all_ascii(self) -> None:
        """Which has a character beyond U+FFFF as two escapes."""
        env = {"env_vars": {"LAZYIMPORT_HASH": A.upper()}}
        served = {"name": "\U0001f600", "import_path": "a:b", "runtime_env": env}
        text = json.dumps({"applications": [served]})
        (app,) = Manifest(text, "f.json").applications

        assert (app.name, app.hash) == ("\U0001f600", A)

    def test_the_same_again_changes_nothing(self) -> None:
        text = service(SERVED).replace("{hash}", A)

        assert text == deployed(text, A)

    def test_digits_alone_stay_a_string(self) -> None:
        """1e5 is a number to some who read YAML."""
        number = "1" * 60 + "e123"
        text = deployed(SERVED.replace("{hash}", A), number)

        assert f'LAZYIMPORT_HASH: "{number}"  # set by CI' in text

    def test_several_applications_at_once(self) -> None:
        other = SERVED[SERVED.index("  - name") :].replace("shop ", "till ")
        text = service(SERVED + other)
        after = deployed(text.replace("{hash}", A), B, "shop", "till")

        assert text.replace("{hash}", B) == after


class TestAdding:
    """A hash that is not there is added, in the style that is there."""

    def test_after_the_import_path(self) -> None:
        text = without("runtime_env")

        assert [
            "    runtime_env:\n",
            "      env_vars:\n",
            f"        LAZYIMPORT_HASH: {B}\n",
        ] == added(text, deployed(text))

    def test_beside_other_fields(self) -> None:
        text = without("env_vars")

        assert ["      env_vars:\n", f"        LAZYIMPORT_HASH: {B}\n"] == added(
            text, deployed(text)
        )

    def test_beside_other_variables_and_their_comments(self) -> None:
        text = without("LAZYIMPORT_HASH")

        assert [f"        LAZYIMPORT_HASH: {B}\n"] == added(text, deployed(text))

    def test_inside_a_service_in_its_indentation(self) -> None:
        text = service(without("LAZYIMPORT_HASH"), 7)

        assert [f"{'':15}LAZYIMPORT_HASH: {B}\n"] == added(text, deployed(text))

    @pytest.mark.parametrize(
        ("there", "after"),
        [
            ("runtime_env: {}", 'runtime_env: {"env_vars": {"K": "V"}}'),
            ("runtime_env:", 'runtime_env: {"env_vars": {"K": "V"}}'),
            ("runtime_env: null  # x", 'runtime_env: {"env_vars": {"K": "V"}}  # x'),
            (
                "runtime_env: {pip: [x]}",
                'runtime_env: {"env_vars": {"K": "V"}, pip: [x]}',
            ),
            (
                "runtime_env: {env_vars: {A: b}}",
                'runtime_env: {env_vars: {"K": "V", A: b}}',
            ),
        ],
    )
    def test_in_braces_or_where_nothing_is(self, there: str, after: str) -> None:
        text = without("runtime_env").replace("route_prefix: /", there)
        after = after.replace("K", "LAZYIMPORT_HASH").replace("V", B)

        assert text.replace(there, after) == deployed(text)

    def test_a_job_gets_an_environment(self) -> None:
        assert [
            "  runtimeEnvYAML: |\n",
            "    env_vars:\n",
            f'      LAZYIMPORT_HASH: "{B}"\n',
        ] == added(JOB_TEXT, deployed(JOB_TEXT))

    def test_a_cron_job_gets_one_for_its_jobs(self) -> None:
        assert [
            "    runtimeEnvYAML: |\n",
            "      env_vars:\n",
            f'        LAZYIMPORT_HASH: "{B}"\n',
        ] == added(CRON_JOB_TEXT, deployed(CRON_JOB_TEXT))

    def test_at_the_end_of_a_file_without_a_newline(self) -> None:
        text = "applications:\n- import_path: a:b"

        assert deployed(text) == (
            f"{text}\n  runtime_env:\n    env_vars:\n      LAZYIMPORT_HASH: {B}"
        )


class TestRefusing:
    """What would make the hash a lie is refused, with the line."""

    def refused(self, text: str, *names: str) -> str:
        with pytest.raises(ManifestError) as caught:
            deployed(text.replace("{hash}", A), B, *names)
        return str(caught.value)

    def test_a_deployment_with_a_hash_of_its_own(self) -> None:
        """R5: the class would come from one archive, its modules from another."""
        text = SERVED + (
            "        ray_actor_options:\n          runtime_env:\n"
            "            env_vars: {LAZYIMPORT_HASH: x}\n"
        )

        assert re.search(r"^f.yaml:18: deployment 'Shop'", self.refused(text))
        assert re.search(r"^f.yaml:25: deployment", self.refused(service(text)))

    def test_a_hash_twice(self) -> None:
        text = SERVED.replace("      pip", "        LAZYIMPORT_HASH: {hash}\n      pip")

        assert "f.yaml:12: LAZYIMPORT_HASH is here a second time" in self.refused(text)

    def test_an_environment_twice(self) -> None:
        """The first one would be edited, and readers of YAML take the last."""
        text = SERVED.replace(
            "    runtime_env:", "    runtime_env: {}\n    runtime_env:"
        )

        assert "runtime_env is here a second time" in self.refused(text)

    def test_plugin_and_variable(self) -> None:
        text = SERVED.replace("      pip", "      lazyimport: {hash: x}\n      pip")

        assert "f.yaml:11: LAZYIMPORT_HASH is set here" in self.refused(text)

    def test_py_executable_that_sets_it(self) -> None:
        text = SERVED.replace("pip: [x]", "py_executable: env LAZYIMPORT_HASH=x python")

        assert "f.yaml:12: py_executable" in self.refused(text)

    def test_entrypoint_that_sets_it(self) -> None:
        text = JOB_TEXT.replace("python -m", "LAZYIMPORT_HASH=x python -m")

        assert "f.yaml:5: the entrypoint" in self.refused(text)
        text += "  runtimeEnvYAML: |\n    working_dir: x\n"
        assert "f.yaml:5: the entrypoint" in self.refused(text)

    def test_an_environment_that_others_share(self) -> None:
        text = SERVED.replace("runtime_env:", "runtime_env: &env") + (
            "  - {name: other, import_path: a:b, runtime_env: *env}\n"
        )

        assert "'shop' too; write it out" in self.refused(text, "shop")
        assert "'other' too; write it out" in self.refused(text, "other")

    def test_a_string_that_others_share(self) -> None:
        text = service(SERVED).replace("V2: |", "V2: &config |")
        text += "  other: *config\n"

        assert re.match(r"f.yaml:7: this is an anchor", self.refused(text))

    def test_an_environment_that_is_merged(self) -> None:
        """A new env_vars would replace all variables that come by the merge."""
        base = "base: &env {env_vars: {A: b}}\n"
        text = base + without("runtime_env").replace(
            "route_prefix: /", "{}: {<<: *env}"
        )

        refused = self.refused(text.replace("{}", "runtime_env"))
        assert re.match(r"f.yaml:8: env_vars may come from what is merged", refused)

    def test_a_folded_string(self) -> None:
        text = service(SERVED).replace("V2: |", "V2: >")

        assert "f.yaml:7: a folded string" in self.refused(text)

    def test_what_is_no_mapping(self) -> None:
        text = without("runtime_env").replace("route_prefix: /", "runtime_env: [x]")

        assert "f.yaml:7: runtime_env must be a mapping" in self.refused(text)

    @pytest.mark.parametrize("text", ["a: [", "{{ if .Values.x }}\na: b\n", "a:\tb: c"])
    def test_what_is_not_yaml(self, text: str) -> None:
        assert re.match(r"f.yaml:\d+: not YAML", self.refused(text))

    @pytest.mark.parametrize("text", ["[" * 20_000, "x: &x [*x]\n" + SERVED])
    def test_what_has_no_end(self, text: str) -> None:
        said = self.refused(text.replace("{hash}", A))
        assert re.match(r"f.yaml:1: (not YAML|with its aliases written out)", said)

    def test_what_is_small_and_stands_for_much(self) -> None:
        """Readers that write out aliases would never come to the end."""
        names = "abcdefghijkl"
        lines = [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(names)]
        text = "\n".join(["a: &a [x, x]", *lines, SERVED.replace("{hash}", A)])

        assert "with its aliases written out" in self.refused(text)

    def test_broken_yaml_inside_names_the_line_of_the_file(self) -> None:
        text = service(SERVED.replace("pip: [x]", "pip: [x"))

        assert re.match(r"f.yaml:2\d: not YAML", self.refused(text))

    def test_nothing_of_ours(self) -> None:
        assert "found: RayCluster" in self.refused("kind: RayCluster\nspec: {}\n")

    def test_a_choice(self) -> None:
        text = f"{service(SERVED)}---\n{JOB_TEXT}".replace("{hash}", A)

        with pytest.raises(DeployError, match=r"shop \(line 12\), nightly \(line 32\)"):
            deployed(text)
        with pytest.raises(DeployError, match="no application 'till'"):
            deployed(text, B, "till")

    def test_what_is_no_hash(self) -> None:
        with pytest.raises(SettingsError, match="64 hex digits"):
            deployed(SERVED, "main")


def test_warns_of_a_pod_that_names_a_hash() -> None:
    """R9: it would make KubeRay replace the cluster."""
    text = service(SERVED) + "    env: [{name: LAZYIMPORT_HASH, value: x}]\n"
    manifest = Manifest(text.replace("{hash}", A), "f.yaml").with_hash(B)

    assert 1 == len(manifest.warnings)
    assert "f.yaml:27: a pod names a hash" in manifest.warnings[0]


def test_knows_what_it_holds() -> None:
    documents = [service(SERVED), SERVED, JOB_TEXT, CRON_JOB_TEXT]
    text = "---\n".join(documents).replace("{hash}", A)
    found = Manifest(text, "f.yaml").applications

    assert [SERVICE, SERVE, JOB, CRON_JOB] == [a.kind for a in found]
    assert [("shop", "prod"), None, ("nightly", None), ("hourly", None)] == [
        a.resource for a in found
    ]
    assert ["shop.serve:app"] * 2 + [None] * 2 == [a.import_path for a in found]
    assert [A, A, None, None] == [a.hash for a in found]


def test_a_job_whose_name_kubernetes_makes_up() -> None:
    text = JOB_TEXT.replace("name: nightly", "generateName: nightly-")
    manifest = Manifest(text, "f.yaml")

    assert ["nightly-"] == [a.name for a in manifest.applications]
    assert manifest.generates_names
    assert Manifest(text + "---\n", "f.yaml").generates_names
    assert not Manifest(f"{text}---\n{CRON_JOB_TEXT}", "f.yaml").generates_names


def test_a_job_is_where_it_stands_in_the_file() -> None:
    text = JOB_TEXT + f"  runtimeEnvYAML: |\n    env_vars: {{LAZYIMPORT_HASH: {A}}}\n"

    assert [5] == [a.line for a in Manifest(text, "f.yaml").applications]


def test_what_is_empty_runs_nothing() -> None:
    """Of things that a person has begun to write, no hash and no name is read."""
    text = "kind: RayJob\n---\n" + without("LAZYIMPORT_HASH").replace(
        'LOG: "1"', "LAZYIMPORT_HASH: ~"
    )
    text = text.replace("applications:\n", "applications:\n  - ~\n")

    assert [("shop", None)] == [
        (a.name, a.hash) for a in Manifest(text, "f.yaml").applications
    ]
    assert text.replace("~   #", f'"{B}"   #') == deployed(text)


def test_values_are_what_ray_reads() -> None:
    """YAML 1.1, in which no is a boolean."""
    text = SERVED.replace("proxy_location: EveryNode", "x: no")
    value = Manifest(text.replace("{hash}", A), "f.yaml").serve_config()

    assert isinstance(value, dict)
    assert value["x"] is False
    assert "shop" == value["applications"][0]["name"]


@pytest.mark.parametrize("typed", ["x: 1\nx: 2\n", "x: 2026-13-45\n"])
def test_values_that_cannot_be_read_are_named(typed: str) -> None:
    """They are no matter of the hash, so that is set all the same."""
    (app,) = Manifest(
        f"applications: [~, {{name: shop}}]\n{typed}", "f.yaml"
    ).applications
    with pytest.raises(ManifestError, match=r"f\.yaml:\d+: not YAML"):
        app.serve_config()
    (app,) = Manifest("applications: [~, {name: shop}]\n", "f.yaml").applications
    assert {"applications": [None, {"name": "shop"}]} == app.serve_config()


def test_a_cluster_runs_one_serve_config() -> None:
    text = f"{SERVED}---\n{SERVED.replace('shop ', 'till ')}".replace("{hash}", A)

    with pytest.raises(DeployError, match=r"f\.yaml has 2 Serve configs"):
        Manifest(text, "f.yaml").serve_config()
