"""Append-only JSON lines: what a twin has to remember across a `kill -9`.

A record is in the operating system's hands when `append` returns, so it survives the death of this process.
A torn last line, the only damage such a death can do, is dropped on replay. Without a path nothing is kept.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Journal:
    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None

    def replay(self) -> Iterator[Record]:
        """Yields every whole record, then opens the journal for appending."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        whole = 0
        if self._path.exists():
            for line in self._path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                yield json.loads(line)
                whole += len(line)
            os.truncate(self._path, whole)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, record: Record) -> None:
        if self._file is not None:
            os.write(self._file, json.dumps(record, separators=(",", ":")).encode() + b"\n")

    def clear(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
