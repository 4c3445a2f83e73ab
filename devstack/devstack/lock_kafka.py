"""Remakes `kafka.lock.json`; the only place that needs Maven, and never part of a start.

Maven itself resolves the tree. `jgo`'s resolver lets managed versions of other poms leak in and gave
`kafka_2.13` 4.3.0 the clients of 3.9.1, which end the broker with NoSuchMethodError.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from devstack.errors import StackError
from devstack.jars import LOCK_FILE

KAFKA_VERSION = "4.3.0"
# Kafka brings log4j but no slf4j binding; without one the broker logs nothing.
LOG4J_VERSION = "2.25.4"
ROOTS = (
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
)


def remake(target: Path = LOCK_FILE) -> int:
    """Resolve the tree, write the lock, return the number of jars."""
    maven = shutil.which("mvn")
    if maven is None:
        raise StackError(
            "Maven (mvn) is not on the PATH: remaking the lock of Kafka's jars needs it, nothing else does"
        )
    with tempfile.TemporaryDirectory() as work:
        Path(work, "pom.xml").write_text(_pom())
        goal = "dependency:copy-dependencies"
        options = ("-DincludeScope=runtime", "-DoutputDirectory=jars", "-Dmdep.useRepositoryLayout=true")
        done = subprocess.run(  # noqa: S603  the user's own Maven
            [maven, "-B", "-q", goal, *options], cwd=work, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise StackError(f"Maven could not resolve Kafka {KAFKA_VERSION}: {done.stdout.strip().splitlines()[0]}")
        found = sorted(Path(work, "jars").rglob("*.jar"), key=lambda path: path.name)
        jars = [_locked(path, Path(work, "jars")) for path in found]
    target.write_text(json.dumps({"kafka": KAFKA_VERSION, "jars": jars}, indent=1) + "\n")
    return len(jars)


def _locked(path: Path, root: Path) -> dict[str, str | int]:
    *group, artifact, version, name = path.relative_to(root).parts
    return {
        "group": ".".join(group),
        "artifact": artifact,
        "version": version,
        "file": name,
        "size": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _pom() -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        for group, artifact, version in ROOTS
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>atelier</groupId><artifactId>kafka-lock</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>"
    )
