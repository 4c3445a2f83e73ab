"""Programs that come inside Python wheels, found without importing their packages.

A platform for which a wheel does not exist gets one line that says so.
"""

from importlib.util import find_spec
from pathlib import Path

from devstack.errors import StackError

PLATFORMS = "use Linux (x86_64 or aarch64, glibc 2.28 or newer) or macOS (11 or newer)"


def program(package: str, pattern: str, *, what: str, otherwise: str = PLATFORMS) -> Path:
    """The file below an installed package that matches `pattern`."""
    spec = find_spec(package)
    if spec and spec.origin:
        for path in sorted(Path(spec.origin).parent.glob(pattern)):
            return path
    raise StackError(f"{what} is missing: the package {package} has no wheel for this platform; {otherwise}")
