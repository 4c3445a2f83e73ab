"""`deploy/k8s` rendered by Kustomize, against the Kubernetes API schemas, the services' settings and devstack.

Objects of operators (Strimzi, CloudNativePG, KEDA, External Secrets, Prometheus) have no schema in a package; what
Atelier depends on in them is checked here by name.
"""

import itertools
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kustomized import K8S, OVERLAYS, Manifest, of_kind, pods, selects, services

from composition import SERVICES, settings_class
from devstack.kafka import _replication
from kit.service import ROLES
from kit.settings import ServiceSettings

README = K8S / "README.md"
KUBERNETES = "1.37"
OPERATORS = {
    "kafka.strimzi.io/v1",
    "postgresql.cnpg.io/v1",
    "barmancloud.cnpg.io/v1",
    "keda.sh/v1alpha1",
    "external-secrets.io/v1",
    "monitoring.coreos.com/v1",
}

OF_THE_OPERATOR = 20
"""Connections of CloudNativePG: its manager, metrics, two replicas; and of people who look."""

Render = Callable[[str], list[Manifest]]


class TestSchemas:
    def test_every_object_is_valid_in_the_kubernetes_api(self, manifests: list[Manifest], tools: Path) -> None:
        sys.path.append(str(tools))
        validate = import_module("kubernetes_validate").validate
        own = [manifest for manifest in manifests if manifest["apiVersion"] not in OPERATORS]

        assert len(own) > len(SERVICES)
        for manifest in own:
            validate(manifest, KUBERNETES, strict=True)

    def test_every_component_is_part_of_an_overlay(self, render: Render) -> None:
        listed = "".join((K8S / overlay / "kustomization.yaml").read_text() for overlay in OVERLAYS)

        assert {
            path.name for path in (K8S / "components").iterdir() if f"components/{path.name}\n" not in listed
        } == set()

    def test_no_secret_has_a_value(self, manifests: list[Manifest]) -> None:
        assert of_kind(manifests, "Secret") == {}


class TestServices:
    def test_api_and_workers_run_apart_and_together_have_every_role(self, manifests: list[Manifest]) -> None:
        for name in SERVICES:
            deployments = of_kind(manifests, "Deployment")
            arguments = [
                deployments[f"{name}-{part}"]["spec"]["template"]["spec"]["containers"][0]["args"]
                for part in ("api", "worker")
            ]

            assert [given[:3] for given in arguments] == [[name, "serve", "--roles"]] * 2
            assert sorted(",".join(given[3] for given in arguments).split(",")) == sorted(ROLES)

    def test_migrations_are_jobs(self, manifests: list[Manifest]) -> None:
        jobs = of_kind(manifests, "Job")

        assert {name: job["spec"]["template"]["spec"]["containers"][0]["args"] for name, job in jobs.items()} == {
            f"{name}-migrate": [name, "migrate"] for name in SERVICES
        }

    def test_the_environment_makes_settings(
        self, manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch, secrets: dict[str, str]
    ) -> None:
        for pod in services(manifests).values():
            name = pod["metadata"]["labels"]["app.kubernetes.io/name"]
            environment = environment_of(pod, manifests, secrets)
            known = {f"{name.upper()}_{field.upper()}" for field in settings_class(name).model_fields}
            for variable, value in environment.items():
                monkeypatch.setenv(variable, value)

            assert set(environment) - known == set()
            assert settings_class(name)().environment == "production"

    def test_it_may_finish_before_it_is_killed(self, manifests: list[Manifest]) -> None:
        for name in SERVICES:
            drain = settings_class(name).model_fields["drain_timeout"].default.total_seconds()
            pod = of_kind(manifests, "Deployment")[f"{name}-worker"]["spec"]["template"]["spec"]

            assert pod["terminationGracePeriodSeconds"] > drain

    def test_an_api_pod_answers_until_nobody_is_sent_to_it_any_more(self, manifests: list[Manifest]) -> None:
        drain = ServiceSettings.model_fields["drain_timeout"].default.total_seconds()
        for name in SERVICES:
            pod = of_kind(manifests, "Deployment")[f"{name}-api"]["spec"]["template"]["spec"]
            wait = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

            assert wait >= 5
            assert pod["terminationGracePeriodSeconds"] > wait + drain

    def test_disruptions_leave_some_of_each(self, manifests: list[Manifest]) -> None:
        budgets = of_kind(manifests, "PodDisruptionBudget")

        for name, part in itertools.product(SERVICES, ("api", "worker")):
            labels = services(manifests)[f"{name}-{part}"]["metadata"]["labels"]
            assert budgets[f"{name}-{part}"]["spec"]["maxUnavailable"] == 1
            assert [budget for budget, found in budgets.items() if selects(found["spec"]["selector"], labels)] == [
                f"{name}-{part}"
            ]


class TestPods:
    def test_none_may_do_more_than_it_must(self, manifests: list[Manifest]) -> None:
        for name, pod in pods(manifests).items():
            (container,) = pod["spec"]["containers"]

            assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
            assert pod["spec"]["automountServiceAccountToken"] is False, name
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), name

    @pytest.mark.parametrize(("pod", "processes"), [("api", "upload_processes"), ("worker", "thumbnail_processes")])
    def test_the_processes_of_storage_fit_its_memory(self, manifests: list[Manifest], pod: str, processes: str) -> None:
        settings = settings_class("storage").model_fields
        limit = pods(manifests)[f"storage-{pod}"]["spec"]["containers"][0]["resources"]["limits"]["memory"]

        assert limit.endswith("Mi")
        taken = settings["uploads_memory"].default + settings[processes].default * settings["picture_memory"].default
        assert int(limit[:-2]) >= 300 + taken

    def test_what_serves_is_probed(self, manifests: list[Manifest]) -> None:
        for name, pod in pods(manifests).items():
            if not name.endswith("-migrate"):
                assert {"readinessProbe", "livenessProbe"} <= set(pod["spec"]["containers"][0]), name

    def test_an_image_has_a_version(self, manifests: list[Manifest]) -> None:
        images = {pod["spec"]["containers"][0]["image"] for pod in pods(manifests).values()}

        assert [image for image in images if not re.search(r":[\w.]+$", image) or image.endswith(":latest")] == []


class TestDataServers:
    def test_kafka_replicates_as_three_brokers_of_devstack_do(self, manifests: list[Manifest]) -> None:
        kafka = of_kind(manifests, "Kafka")["kafka"]["spec"]["kafka"]
        expected = {**_replication(3), "auto.create.topics.enable": "false"}

        assert of_kind(manifests, "KafkaNodePool")["broker"]["spec"]["replicas"] == 3
        assert {name: kafka["config"].get(name) for name in expected} == expected

    def test_topics_have_as_many_replicas_as_there_are_brokers(self, manifests: list[Manifest]) -> None:
        asked = {
            config["data"]["KAFKA_REPLICATION"]
            for config in of_kind(manifests, "ConfigMap").values()
            if is_settings(config)
        }

        assert asked == {"3"}

    def test_sent_events_are_kept_for_the_remedy_that_the_runbook_names(self, manifests: list[Manifest]) -> None:
        configs = of_kind(manifests, "ConfigMap").values()

        assert {config["data"]["OUTBOX_KEEP"] for config in configs if is_settings(config)} == {"P7D"}

    def test_versions_are_those_of_compose(self, manifests: list[Manifest], compose: dict[str, Any]) -> None:
        images = {name: service["image"] for name, service in compose["services"].items() if "image" in service}
        kafka = of_kind(manifests, "Kafka")["kafka"]["spec"]["kafka"]["version"]
        postgres = of_kind(manifests, "Cluster")["postgres"]["spec"]["imageName"]
        major = images["postgres"].partition(":")[2]

        assert images["kafka"] == f"apache/kafka:{kafka}"
        # A tag without type and distribution is that of the images that CloudNativePG no longer makes.
        assert re.fullmatch(rf"ghcr\.io/cloudnative-pg/postgresql:{major}-(minimal|standard)-[a-z]+", postgres)
        assert pods(manifests)["valkey"]["spec"]["containers"][0]["image"] == images["valkey"]
        assert {pod["spec"]["containers"][0]["image"] for name, pod in pods(manifests).items() if name == "s3"} <= {
            images["s3"]
        }

    def test_a_recovered_postgres_has_the_image_of_the_lost_one(self, manifests: list[Manifest]) -> None:
        image = of_kind(manifests, "Cluster")["postgres"]["spec"]["imageName"]

        assert re.findall(r"imageName: (\S+)", README.read_text()) == [image]

    def test_a_postgres_without_a_replica_does_not_keep_its_node_from_being_drained(
        self, manifests: list[Manifest]
    ) -> None:
        cluster = of_kind(manifests, "Cluster")["postgres"]["spec"]

        assert cluster.get("enablePDB", True) is (cluster["instances"] > 1)

    def test_valkey_forgets_as_in_compose_before_its_memory_ends(
        self, manifests: list[Manifest], compose: dict[str, Any]
    ) -> None:
        (container,) = pods(manifests)["valkey"]["spec"]["containers"]
        here = compose["services"]["valkey"]

        for flag, wanted in (("--maxmemory", "200mb"), ("--maxmemory-policy", "volatile-ttl")):
            for arguments in (container["args"], here["command"]):
                assert arguments[arguments.index(flag) + 1] == wanted
        assert container["resources"]["limits"]["memory"] == "256Mi"
        assert int(here["deploy"]["resources"]["limits"]["memory"]) == 256 * 1024**2

    def test_each_service_has_a_database_and_a_role(self, manifests: list[Manifest]) -> None:
        databases = of_kind(manifests, "Database")
        roles = of_kind(manifests, "Cluster")["postgres"]["spec"]["managed"]["roles"]

        assert {name: database["spec"]["owner"] for name, database in databases.items()} == {s: s for s in SERVICES}
        assert {role["name"]: role["passwordSecret"]["name"] for role in roles} == {
            s: f"{s}-database" for s in SERVICES
        }


class TestBackup:
    def test_production_archives_each_change_and_copies_all_more_often_than_topics_forget(
        self, overlays: dict[str, list[Manifest]]
    ) -> None:
        manifests = overlays["overlays/production"]
        (plugin,) = of_kind(manifests, "Cluster")["postgres"]["spec"]["plugins"]
        schedule = of_kind(manifests, "ScheduledBackup")["postgres"]["spec"]
        store = of_kind(manifests, "ObjectStore")[plugin["parameters"]["barmanObjectName"]]["spec"]

        assert plugin["isWALArchiver"] is True
        assert (schedule["cluster"]["name"], schedule["method"]) == ("postgres", "plugin")
        assert schedule["pluginConfiguration"]["name"] == plugin["name"]
        assert len(schedule["schedule"].split()) == 6
        assert schedule["schedule"].endswith("* * *")
        assert int(store["retentionPolicy"].removesuffix("d")) > 7

    def test_postgres_reaches_the_store(self, overlays: dict[str, list[Manifest]]) -> None:
        labels = {"cnpg.io/cluster": "postgres"}
        policies = of_kind(overlays["overlays/production"], "NetworkPolicy").values()
        of_postgres = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], labels)]

        assert of_postgres
        assert all("Egress" not in policy["policyTypes"] for policy in of_postgres)


class TestSecrets:
    def test_every_secret_that_is_used_comes_from_somewhere(self, manifests: list[Manifest]) -> None:
        made = {secret["spec"]["target"]["name"] for secret in of_kind(manifests, "ExternalSecret").values()}

        assert used_secrets(manifests) <= made

    def test_a_template_uses_what_it_fetches(self, manifests: list[Manifest]) -> None:
        for name, secret in of_kind(manifests, "ExternalSecret").items():
            used = set(re.findall(r"\{\{ \.(\w+)", " ".join(secret["spec"]["target"]["template"]["data"].values())))

            assert used == {item["secretKey"] for item in secret["spec"]["data"]}, name


class TestInstallation:
    """The README sends everything but API and workers first, then everything."""

    def test_nothing_is_scaled_before_it_is_there(self, manifests: list[Manifest]) -> None:
        (apart,) = re.findall(r"--selector 'app\.kubernetes\.io/component notin \(([^)]*)\)'", README.read_text())
        first = [manifest for manifest in manifests if component(manifest) not in apart.split(", ")]

        for step in (first, manifests):
            sent = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in step]
            for place, manifest in enumerate(step):
                if target := manifest.get("spec", {}).get("scaleTargetRef"):
                    assert ("Deployment", target["name"]) in sent[:place], sent[place]

    def test_the_readme_makes_every_image_that_the_dev_overlay_takes(self, overlays: dict[str, list[Manifest]]) -> None:
        images = {pod["spec"]["containers"][0]["image"] for pod in pods(overlays["overlays/dev"]).values()}
        (loaded,) = re.findall(r"^kind load docker-image (.*)$", README.read_text(), re.MULTILINE)

        assert set(loaded.split()) == {image for image in images if image.startswith("atelier/")}


class TestScaling:
    def test_apis_scale_by_cpu_and_workers_by_lag(self, overlays: dict[str, list[Manifest]]) -> None:
        manifests = overlays["overlays/production"]
        deployments = of_kind(manifests, "Deployment")
        by_cpu = of_kind(manifests, "HorizontalPodAutoscaler")
        by_lag = of_kind(manifests, "ScaledObject")

        for name in SERVICES:
            api, worker = by_cpu[f"{name}-api"]["spec"], by_lag[f"{name}-worker"]["spec"]
            kafka = next(trigger["metadata"] for trigger in worker["triggers"] if trigger["type"] == "kafka")
            assert api["scaleTargetRef"]["name"] == f"{name}-api"
            assert worker["scaleTargetRef"]["name"] == f"{name}-worker"
            assert kafka["consumerGroup"] == name
            for part in ("api", "worker"):
                assert "replicas" not in deployments[f"{name}-{part}"]["spec"]

    def test_keda_finds_kafka_from_its_own_namespace(self, overlays: dict[str, list[Manifest]]) -> None:
        manifests = overlays["overlays/production"]
        (namespace,) = of_kind(manifests, "Namespace")
        kafka = of_kind(manifests, "Kafka")["kafka"]["metadata"]["name"]

        hosts = {
            trigger["metadata"]["bootstrapServers"]
            for scaled in of_kind(manifests, "ScaledObject").values()
            for trigger in scaled["spec"]["triggers"]
            if trigger["type"] == "kafka"
        }

        assert hosts == {f"{kafka}-kafka-bootstrap.{namespace}.svc:9092"}

    def test_postgres_has_connections_for_all_of_them(self, overlays: dict[str, list[Manifest]]) -> None:
        manifests = overlays["overlays/production"]
        limit = int(of_kind(manifests, "Cluster")["postgres"]["spec"]["postgresql"]["parameters"]["max_connections"])
        pool = int(
            next(c for c in of_kind(manifests, "ConfigMap").values() if is_settings(c))["data"]["DATABASE_POOL_SIZE"]
        )
        deployments = of_kind(manifests, "Deployment")

        def most(scalers: dict[str, Manifest], key: str) -> int:
            """Pods of all that they scale, while a new version is rolled out."""
            scaled = [(found["spec"]["scaleTargetRef"]["name"], found["spec"][key]) for found in scalers.values()]
            return sum(
                number + deployments[name]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] for name, number in scaled
            )

        apis = most(of_kind(manifests, "HorizontalPodAutoscaler"), "maxReplicas")
        workers = most(of_kind(manifests, "ScaledObject"), "maxReplicaCount")

        # A pool may double for a moment. A worker has one connection more: its relay holds the lock of its service
        # or asks for it. The operator and its own replication need some, too.
        assert limit >= (apis + workers) * pool * 2 + workers + OF_THE_OPERATOR


def component(manifest: Manifest) -> str | None:
    label: str | None = manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component")
    return label


def is_settings(config: Manifest) -> bool:
    return "KAFKA_REPLICATION" in config["data"]


def environment_of(pod: Manifest, manifests: list[Manifest], secrets: dict[str, str]) -> dict[str, str]:
    """What a pod's container sees; keys of secrets come as the tests' own, everything else as a word."""
    configs, fetched = of_kind(manifests, "ConfigMap"), of_kind(manifests, "ExternalSecret")
    environment: dict[str, str] = {}
    for source in pod["spec"]["containers"][0]["envFrom"]:
        if "configMapRef" in source:
            values = configs[source["configMapRef"]["name"]]["data"]
        else:
            template = fetched[source["secretRef"]["name"]]["spec"]["target"]["template"]["data"]
            values = {key: secrets.get(key, f"a value for {key} that is long enough") for key in template}
        environment |= {source["prefix"] + key: value for key, value in values.items()}
    return environment


def used_secrets(manifests: list[Manifest]) -> set[str]:
    by_pods = {
        reference["secretRef"]["name"]
        for pod in services(manifests).values()
        for reference in pod["spec"]["containers"][0]["envFrom"]
        if "secretRef" in reference
    }
    by_variables = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for pod in pods(manifests).values()
        for variable in pod["spec"]["containers"][0].get("env", ())
    }
    by_backups = {
        reference["name"]
        for store in of_kind(manifests, "ObjectStore").values()
        for reference in store["spec"]["configuration"]["s3Credentials"].values()
    }
    roles = of_kind(manifests, "Cluster")["postgres"]["spec"]["managed"]["roles"]
    return by_pods | by_variables | by_backups | {role["passwordSecret"]["name"] for role in roles}
