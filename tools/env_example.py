"""Writes ``.env.example``: every setting of every service, with its meaning and its default.

Comes from the settings classes, so it cannot drift: ``python tools/env_example.py --check`` exits 1 when it differs.
"""

import argparse
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from composition import SERVICES, settings_class

FILE = Path(__file__).resolve().parent.parent / ".env.example"
PORTS = {name: 8100 + offset for offset, name in enumerate(SERVICES)}
HEADER = """\
# Every setting of the five services. `python -m <service> check-config` says what is missing or wrong.
# A line without a comment sign is required; the others show their default. Durations are ISO 8601 (PT30S, P1D).
# Secrets are left empty here and refused when empty outside development.
# For the environment of each process. Not the `.env` of Docker Compose, which has other names: `deploy/make_env.py`
# makes that one.
"""


def text() -> str:
    """The whole file."""
    return HEADER + "".join(section(name) for name in SERVICES)


def section(name: str) -> str:
    """The settings of one service."""
    lines = ["", f"## {name}"]
    for field, info in settings_class(name).model_fields.items():
        variable = f"{name}_{field}".upper()
        if info.description:
            lines.append(f"# {info.description}")
        if info.is_required():
            lines.append(f"{variable}={example(name, field)}")
        else:
            lines.append(f"# {variable}={default(info)}")
    return "\n".join(lines) + "\n"


def example(name: str, field: str) -> str:
    """A value of a required setting, as in a deployment on one host; empty for secrets."""
    if field == "http_port":
        return str(PORTS[name])
    if field == "database_url":
        return f"postgresql+asyncpg://{name}:password@127.0.0.1:5432/{name}"
    others = {f"{other}_url": f"http://127.0.0.1:{PORTS[other]}" for other in SERVICES}
    known = {
        "kafka_bootstrap": "127.0.0.1:9092",
        "redis_url": "redis://:password@127.0.0.1:6379/0",
        "s3_url": "http://127.0.0.1:9000",
        "public_url": "http://127.0.0.1:8100",
        **others,
    }
    return known.get(field, "")


def default(info: FieldInfo) -> str:
    """A default as an environment variable would say it."""
    value: Any = info.default
    if value is None:
        return ""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"PT{int(seconds) if seconds.is_integer() else seconds}S"
    if isinstance(value, bool | list | tuple):
        return json.dumps(value)
    return str(value)


def main() -> int:
    """Write the file, or compare it with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    if parser.parse_args().check:
        if FILE.exists() and FILE.read_text(encoding="utf-8") == text():
            return 0
        print(f"{FILE.name} is not what `make env` writes")
        return 1
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
