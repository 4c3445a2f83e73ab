"""Prometheus, when the machine has it: every service scraped, every alert rule of `deploy/observability` loaded.

The only part that is not installed from a lock: it comes in no Python package.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from devstack.errors import StackError
from devstack.ports import HOST
from devstack.server import Server, answers_ok

ALERTS = Path(__file__).resolve().parents[2] / "deploy/observability/alerts.yaml"
SCRAPE_INTERVAL = "5s"
KEEP = "7d"


class Prometheus(Server):
    """One server that looks at the services of a stack. `targets`: port by service."""

    def __init__(self, directory: Path, logs: Path, port: int, targets: Mapping[str, int]) -> None:
        super().__init__("prometheus", directory, logs, port)
        self._targets = targets

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def prepare(self) -> None:
        """Write its configuration; JSON, which is YAML too."""
        rules = self.directory / "alerts.json"
        rules.write_text(json.dumps(yaml.safe_load(ALERTS.read_text())["spec"]))
        jobs = [
            # in a cluster the labels come from the pods
            {"job_name": name, "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
            for name, port in self._targets.items()
        ]
        intervals = {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL}
        config = {"global": intervals, "rule_files": [rules.name], "scrape_configs": jobs}
        self._config.write_text(json.dumps(config))

    def command(self) -> list[str | Path]:
        program = shutil.which("prometheus")
        if program is None:
            raise StackError(
                "OBSERVE=1 needs Prometheus on the PATH: install it, or run without (deploy/README.md says how)"
            )
        return [
            program,
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--storage.tsdb.retention.time={KEEP}",
            f"--web.listen-address={HOST}:{self.port}",
        ]

    def is_ready(self) -> bool:
        return answers_ok(f"{self.url}/-/ready")

    @property
    def _config(self) -> Path:
        return self.directory / "prometheus.yml"
