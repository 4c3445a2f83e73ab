"""A short run of the random kills; ``make test-crash`` makes the long one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("random_kills.py")
JOBS, FAULTS, SEED = 60, 9, 20261121


@pytest.mark.timeout(900)
class TestRandomKills:
    def test_every_promise_holds_after_each_part_was_killed_or_stopped_once(self) -> None:
        chosen = {"JOBS": str(JOBS), "FAULTS": str(FAULTS), "SEED": str(SEED)}
        done = subprocess.run(
            [sys.executable, PROGRAM], env=os.environ | chosen, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "every promise held" in done.stdout
