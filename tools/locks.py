"""Writes or checks the lock files: `python tools/locks.py [--check] [--upgrade]`.

`requirements.lock` pins the whole workspace by hash for every platform; each image's own lock is constrained
by it, so an image carries exactly the versions that were tested and only what it needs. No file names a
registry or a directory of a machine. Pins that still fit stay, so a check fails only when a `pyproject.toml`
asks for something else.
"""

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bootstrap import uv_environment

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = ["shared", "kit", *sorted(f"services/{path.parent.name}" for path in ROOT.glob("services/*/pyproject.toml"))]
MEMBERS += ["twins", "devstack"]
UV_REQUIREMENT = "uv==0.13.9"
BENCH = "bench/requirements.lock"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a lock is out of date")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    arguments = parser.parse_args()
    if not arguments.check:
        write(ROOT, upgrade=arguments.upgrade)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        for lock in locks():
            target = Path(scratch, lock)
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / lock).exists():
                shutil.copy(ROOT / lock, target)
        write(Path(scratch), upgrade=False)
        stale = [lock for lock in locks() if not same(ROOT / lock, Path(scratch, lock))]
    if stale:
        print(f"out of date: {', '.join(stale)}; run `make lock`", file=sys.stderr)
    return 1 if stale else 0


def locks() -> list[str]:
    return ["tools/bootstrap.lock", "requirements.lock", BENCH, *images()]


def images() -> list[str]:
    return [f"{member}/requirements.lock" for member in MEMBERS if member.startswith("services/") or member == "twins"]


def write(root: Path, *, upgrade: bool) -> None:
    """Compile every lock below `root`; the whole workspace first, because it constrains the services."""
    more = ["--upgrade"] if upgrade else []
    with tempfile.NamedTemporaryFile("w", suffix=".in") as uv:
        uv.write(UV_REQUIREMENT)
        uv.flush()
        compile_lock(root / "tools/bootstrap.lock", uv.name)
    members = [f"{member}/pyproject.toml" for member in MEMBERS]
    compile_lock(root / "requirements.lock", "pyproject.toml", *members, "--group", "dev", *more)
    compile_lock(root / BENCH, "--group", "bench", "-c", str(root / "requirements.lock"), *more)
    for lock in images():
        pyproject = lock.replace("requirements.lock", "pyproject.toml")
        compile_lock(root / lock, pyproject, "-c", str(root / "requirements.lock"), *more)


def compile_lock(target: Path, *arguments: str) -> None:
    own = [flag for member in MEMBERS for flag in ("--no-emit-package", Path(member).name)]
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]
    command = [find_uv(), "pip", "compile", "--quiet", *options, "--no-emit-index-url", *own, *arguments]
    command += ["-o", str(target)]
    done = subprocess.run(command, cwd=ROOT, env=uv_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{target.relative_to(target.anchor)} cannot be locked: {done.stderr.strip()}")
    # uv lists what it left out below the pins.
    pins = re.sub(r"\n# The following packages were excluded.*", "", target.read_text(), flags=re.DOTALL)
    target.write_text(f"# Made by `make lock`.\n{pins.strip()}\n")


def same(committed: Path, made: Path) -> bool:
    before = committed.read_text().splitlines() if committed.exists() else []
    difference = list(difflib.unified_diff(before, made.read_text().splitlines(), lineterm="", n=0))
    for line in difference[2:12]:
        print(line[:100], file=sys.stderr)
    return not difference


def find_uv() -> str:
    own = ROOT / ".tools" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv", path=os.environ["PATH"])
    if found is None:
        sys.exit("uv is missing: run `make install`")
    return found


if __name__ == "__main__":
    sys.exit(main())
