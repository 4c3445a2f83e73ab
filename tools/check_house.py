"""Rules of the house that no linter knows, checked on the syntax tree of every Python file.

- only ``kit`` commits transactions and talks to Kafka producers; services emit through the outbox;
- a test waits for a condition, it never sleeps;
- a FastStream subscriber says its ``ack_policy`` (the default loses messages);
- no file is longer than about 400 lines, and no file is called utils or helpers;
- no package registry's host stands in a committed file.

Run it with ``python tools/check_house.py``; it prints one line per fault and exits 1 when there are any.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 420
HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "repo1.maven" + ".org", "repo.maven" + ".apache")
WAITING_ROOM = "kit/kit/testing/waiting.py"
# Programs that hurt servers at random moments have to let time pass between them.
PACED = ("tests/crash/crash/", "tests/crash/random_kills.py", "tests/crash/test_restore.py", "tests/crash/test_away.py")
KAFKA_CLIENTS = {"AIOKafkaProducer", "KafkaBroker"}
VAGUE_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


def tracked(*suffixes: str) -> list[Path]:
    """Files under version control, or about to be."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    paths = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def faults_of(path: Path) -> Iterator[str]:
    """Every broken rule of one Python file."""
    name = path.relative_to(ROOT).as_posix()
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    if lines > MAX_LINES:
        yield f"{name}: {lines} lines; split it by feature"
    if path.name in VAGUE_NAMES:
        yield f"{name}: name it after what it does"
    in_test = "/tests/" in f"/{name}"
    in_service = name.startswith("services/") and not in_test
    for node in ast.walk(ast.parse(source, name)):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "commit" and in_service:
                yield f"{where}: only an edge commits; take a session instead"
            if called == "subscriber" and not any(word.arg == "ack_policy" for word in node.keywords):
                yield f"{where}: say ack_policy; FastStream's default loses messages"
            if called in KAFKA_CLIENTS and in_service:
                yield f"{where}: services emit by outbox.add, never to Kafka"
            if called == "sleep" and in_test and name != WAITING_ROOM and not name.startswith(PACED):
                yield f"{where}: wait for a condition (kit.testing.eventually), do not sleep"
        if isinstance(node, ast.Attribute) and node.attr == "publish" and in_service:
            yield f"{where}: services emit by outbox.add, never by publish"


def registry_hosts() -> Iterator[str]:
    """Files that name a package registry."""
    for path in tracked():
        if path.suffix in {".png", ".jpg", ".webp", ".woff2", ".ico"}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        for host in HOSTS:
            if host in text:
                yield f"{path.relative_to(ROOT)}: names the package registry {host}"


def main() -> int:
    """Print all faults; the exit code says whether there are any."""
    files = tracked(".py")
    faults = [*(fault for path in files for fault in faults_of(path)), *registry_hosts()]
    for fault in faults:
        print(fault)
    print(f"house: {len(files)} Python files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
