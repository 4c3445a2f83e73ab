"""Makes the project's own environment with nothing but a Python: `python3 tools/bootstrap.py [more.lock ...]`.

Gets `uv` into `.tools/`, then the locked packages and the workspace into `.venv/`. Every package is checked against a
committed hash. Runs before anything is installed, on whatever Python the machine has, so it imports the standard
library only and uses nothing that keeps an older Python 3 from telling that it is too old.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
MEMBERS = ("shared", "kit", "services/gateway", "services/billing", "services/generation", "services/storage",
           "services/publishing", "twins", "devstack")  # fmt: skip
UV = ".tools/bin/uv"
TOOLS_PYTHON = ".tools/bin/python"
PYTHON = ".venv/bin/python"
STAMP = Path(".venv/.installed")
# uv does not read pip's settings; a machine that needs a mirror or a certificate has told pip.
SAME_AS_PIP = {"UV_DEFAULT_INDEX": "PIP_INDEX_URL", "SSL_CERT_FILE": "PIP_CERT"}


class BootstrapError(Exception):
    """What is missing on this machine, and how to get it, in one line."""


def main() -> int:
    more = sys.argv[1:]
    try:
        require_platform()
        ensure_uv()
        ensure_venv()
        if more:
            install_more(more)
            return 0
        install()
    except BootstrapError as error:
        print(f"atelier: {error}", file=sys.stderr)
        return 1
    STAMP.touch()
    return 0


def require_platform() -> None:
    if sys.version_info[:2] < OLDEST:
        raise BootstrapError(
            f"Python {platform.python_version()} is too old: "
            "install Python 3.11 or newer, or name one with `make PYTHON=/path/to/python3`"
        )
    system, machine, libc = platform.system(), platform.machine().lower(), platform.libc_ver()[0]
    fits = machine in ("x86_64", "amd64", "aarch64", "arm64") and (
        system == "Darwin" or (system == "Linux" and libc == "glibc")
    )
    if not fits:
        raise BootstrapError(
            f"there are no wheels of the data servers for {system} {libc} on {machine}: use Linux with glibc 2.28 or "
            "newer, or macOS 11 or newer, on x86_64 or arm64 (on Windows: WSL)"
        )


def ensure_uv() -> None:
    """Uv by pip, in an environment of its own; its version and hashes are locked too."""
    if works(UV, "--version"):
        return
    shutil.rmtree(".tools", ignore_errors=True)
    if works(sys.executable, "-m", "venv", ".tools"):
        pip = [TOOLS_PYTHON, "-m", "pip"]
    else:
        # Debian keeps ensurepip in a package of its own.
        shutil.rmtree(".tools", ignore_errors=True)
        run("making .tools", sys.executable, "-m", "venv", "--without-pip", ".tools")
        pip = [*any_pip(), "--python", TOOLS_PYTHON]
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--retries", "2", "--require-hashes"]
    run("fetching uv", *pip, "install", *options, "-r", "tools/bootstrap.lock")


def any_pip() -> "list[str]":
    for candidate in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if works(*candidate, "--version"):
            return candidate
    raise BootstrapError("this Python has no pip: install it (on Debian and Ubuntu: apt install python3-venv)")


def ensure_venv() -> None:
    if not works(PYTHON, "-c", "pass"):
        shutil.rmtree(".venv", ignore_errors=True)
        run("making .venv", UV, "venv", "--quiet", "--python", sys.executable, ".venv", env=uv_environment())


def install() -> None:
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    pip = [UV, "pip", "install", *quiet, "--python", PYTHON]
    run("installing the locked packages", *pip, "--require-hashes", "-r", "requirements.lock", env=uv_environment())
    editable = [argument for member in MEMBERS for argument in ("-e", f"./{member}")]
    run("installing the workspace", *pip, "--no-deps", *editable, env=uv_environment())


def install_more(locks: "list[str]") -> None:
    """What only some targets need, into the environment that is there."""
    for lock in locks:
        command = [UV, "pip", "install", "--quiet", "--python", PYTHON, "--require-hashes", "-r", lock]
        run(f"installing {lock}", *command, env=uv_environment())


def uv_environment() -> "dict[str, str]":
    environment = dict(os.environ)
    for ours, pips in SAME_AS_PIP.items():
        if pips in environment:
            environment.setdefault(ours, environment[pips])
    # As pip does: the certificates of the machine, not a list of uv's own.
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    home = environment.get("HOME")
    if not home or not os.access(home, os.W_OK):
        environment.setdefault("UV_CACHE_DIR", str(Path(".tools/cache").resolve()))
    return environment


def works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(what: str, *command: str, env: "dict[str, str] | None" = None) -> None:
    """One step; its own output only matters when it fails, but a terminal may watch uv's progress."""
    shows_progress = sys.stderr.isatty() and command[0] == UV
    done = subprocess.run(command, env=env, stderr=None if shows_progress else subprocess.PIPE, check=False)
    if done.returncode != 0:
        lines = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        reason = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "see above")
        raise BootstrapError(
            f"{what} failed ({reason.strip()[:160]}): check the network and run the same command again"
        )


if __name__ == "__main__":
    sys.exit(main())
