"""Billing in a process of its own that handles the records of a file in batches and kills itself at a given point.

    python killed.py records.jsonl offset 137

Points are counted from the start of the process: before and after every statement, before every COMMIT, and after it.
Like a consumer it notes its offset when a batch has committed, and begins there the next time. 0 means to live.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event

from billing.app import build
from billing.settings import BillingSettings
from kit.testing.events import FakeRecord

BATCH = 20


def read(path: Path) -> list[FakeRecord]:
    """The records, one a line."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        FakeRecord(
            line["topic"],
            line["key"].encode(),
            line["value"].encode(),
            [(name, value.encode()) for name, value in line["headers"]],
        )
        for line in lines
    ]


class Offset:
    """How far the records were handled, on file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        return int(self._path.read_text()) if self._path.exists() else 0

    def write(self, offset: int) -> None:
        self._path.write_text(str(offset))


async def handle(records: list[FakeRecord], offset: Offset, *, die_at: int) -> None:
    """Handle everything from the noted offset on, unless death comes first."""
    service = build(BillingSettings())
    points = itertools.count(1)

    def pass_point(*_: Any) -> None:
        if next(points) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(service.db.engine.sync_engine, moment, pass_point)
    service.db.on_write(pass_point)
    for start in range(offset.read(), len(records), BATCH):
        await service.edge.handle(records[start : start + BATCH])
        offset.write(start + BATCH)
    await service.db.close()


if __name__ == "__main__":
    asyncio.run(handle(read(Path(sys.argv[1])), Offset(Path(sys.argv[2])), die_at=int(sys.argv[3])))
