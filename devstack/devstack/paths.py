"""Where the stack keeps what it fetched.

The cache belongs to one user and outlives every data directory: Kafka's jars and Java's start-up archive live
there. A user without a usable home still gets one, below the directory for temporary files that survive a
reboot. A second place, readable by every user, serves programs that must not run as root.
"""

import os
import stat
from pathlib import Path

from devstack.errors import StackError

_SURVIVES_REBOOT = Path("/var/tmp")  # noqa: S108  what is made there is checked to be ours


def cache_dir() -> Path:
    """The user's cache: `ATELIER_CACHE`, else the XDG directory, else one for users without a home."""
    for candidate in _cache_candidates():
        if _is_usable(candidate):
            return candidate
    own = _own_dir()
    if not os.environ.get("ATELIER_CACHE") and _is_private(own) and _is_private(own / "cache"):
        return own / "cache"
    raise StackError("no directory for the cache is writable: set ATELIER_CACHE to one that is")


def shared_dir() -> Path:
    """A directory of this user that every other user may enter, for programs started under another user id."""
    directory = _own_dir()
    if not _is_private(directory):
        raise StackError(f"{directory} is not only ours: remove it or keep the project outside of /root")
    directory.chmod(0o755)
    return directory


def is_open_to_all(path: Path) -> bool:
    """True when every user can reach `path`: each directory above it may be entered by others."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _cache_candidates() -> list[Path]:
    if explicit := os.environ.get("ATELIER_CACHE"):
        return [Path(explicit).expanduser().absolute()]
    xdg, home = os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME")
    candidates = [Path(xdg) / "atelier"] if xdg and Path(xdg).is_absolute() else []
    return candidates + ([Path(home) / ".cache" / "atelier"] if home and Path(home).is_absolute() else [])


def _own_dir() -> Path:
    return _SURVIVES_REBOOT / f"atelier-{os.geteuid()}"


def _is_usable(directory: Path) -> bool:
    """Make it if need be. Ours and writable."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return directory.stat().st_uid == os.geteuid() and os.access(directory, os.W_OK)


def _is_private(directory: Path) -> bool:
    """Make it if need be, where everybody may: truly a directory, ours, and nobody else can plant a program in it."""
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
    except OSError:
        return False
    found = directory.lstat()
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not others_write
