"""`make help` tells of every target, and of nothing else."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class TestHelp:
    def test_lists_exactly_the_targets(self) -> None:
        makefile = (ROOT / "Makefile").read_text()
        targets = {name for line in re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE) for name in line.split()}

        shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

        assert set(re.findall(r"^  ([a-z-]+) ", shown, re.MULTILINE)) == targets - {"help"}
