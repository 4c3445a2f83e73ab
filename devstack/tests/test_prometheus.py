"""`OBSERVE=1`: Prometheus with every alert rule, looking at the services; a clear line where there is none."""

import json
import shutil
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import start_http_server

from devstack.errors import StackError
from devstack.ports import reserve
from devstack.process import wait_until
from devstack.prometheus import ALERTS, Prometheus


class TestPrometheus:
    @pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="PROMETHEUS IS NOT INSTALLED: OBSERVE=1 is not tested"
    )
    def test_scrapes_every_target_and_loads_every_rule(self, tmp_path: Path) -> None:
        target, own = reserve(), reserve()
        metrics, thread = start_http_server(target, "127.0.0.1")
        prometheus = Prometheus(tmp_path / "prometheus", tmp_path / "logs", own, {"billing": target})
        try:
            prometheus.start()
            prometheus.wait_ready()
            assert wait_until(lambda: [t["health"] for t in _ask(prometheus, "targets")["activeTargets"]] == ["up"], 20)
            groups = _ask(prometheus, "rules")["groups"]
        finally:
            prometheus.stop()
            metrics.shutdown()
            metrics.server_close()
            thread.join()

        loaded = {rule["name"] for group in groups for rule in group["rules"]}
        assert loaded
        assert all(f"alert: {name}\n" in ALERTS.read_text() for name in loaded)
        assert len(loaded) == len(set(ALERTS.read_text().split("- alert: ")[1:]))

    def test_a_machine_without_it_is_told_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(StackError, match="OBSERVE=1 needs Prometheus"):
            Prometheus(tmp_path / "prometheus", tmp_path / "logs", reserve(), {}).start()


def _ask(prometheus: Prometheus, what: str) -> dict[str, list[dict[str, str]]]:
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/{what}", timeout=5) as answer:
        return dict(json.load(answer)["data"])
