"""When alerts fire and when they do not, by Prometheus's own `promtool`, where the machine has it.

A series has one value a minute: `5x20` is 5 and the same for twenty minutes more, `0+10x20` grows by 10 each minute.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ALERTS = Path(__file__).resolve().parents[2] / "deploy" / "observability" / "alerts.yaml"
PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="PROMTOOL IS NOT INSTALLED: when alerts fire is not tested (it comes with Prometheus)"
)

LAG = 'atelier_consumer_lag{service="billing",topic="gateway.jobs",pod="a"}'
HANDLED = 'atelier_messages_total{service="billing",type="t",outcome="done",pod="a"}'
READS = 'atelier_consumer_active{{service="billing",pod="{}"}}'
LOST = 'atelier_records_lost_total{service="billing",pod="a"}'
CHECKED = 'atelier_invariant_checked_timestamp_seconds{{service="billing",invariant="i",pod="{}"}}'
ANSWERS = 'atelier_http_requests_total{{service="billing",method="GET",route="/",status="{}",excuse="{}"}}'
PAUSE = 'atelier_invariants_interval_seconds{{service="billing",pod="{}"}}'
OF = {"AtelierInvariantUnchecked": {"service": "billing", "invariant": "i"}}
FIRES = [
    ("AtelierConsumerDown", {READS.format("a"): "0x20", READS.format("b"): "0x20"}),
    ("AtelierConsumerStill", {LAG: "1x20", HANDLED: "500x20"}),
    ("AtelierConsumerStill", {LAG: "1x20"}),  # nothing since its start
    ("AtelierRecordsLost", {LOST: "_x18 7x2"}),
    ("AtelierInvariantUnchecked", {CHECKED.format("a"): "-3600x20", PAUSE.format("a"): "300x20"}),
    ("AtelierApiErrors", {ANSWERS.format(200, ""): "0+900x20", ANSWERS.format(500, ""): "0+100x20"}),
    ("AtelierApiErrors", {ANSWERS.format(503, ""): "0+1x20", ANSWERS.format(503, "busy"): "0+9x20"}),
    ("AtelierApiBusy", {ANSWERS.format(200, ""): "0+900x20", ANSWERS.format(503, "busy"): "0+100x20"}),
]
DOES_NOT_FIRE = [
    ("AtelierConsumerDown", {READS.format("a"): "0x20", READS.format("b"): "1x20"}),
    ("AtelierConsumerStill", {LAG: "9000x20", HANDLED: "0+10x20"}),  # far behind, and at work
    ("AtelierConsumerStill", {LAG: "0x20", HANDLED: "500x20"}),  # nothing to do
    (
        "AtelierInvariantUnchecked",
        {
            # one process checks; the other, which stands by, is as old as its start
            CHECKED.format("a"): "0+60x20",
            PAUSE.format("a"): "300x20",
            CHECKED.format("b"): "-3600x20",
            PAUSE.format("b"): "300x20",
        },
    ),
    # the checks take minutes, and rest for as long as that asks for
    ("AtelierInvariantUnchecked", {CHECKED.format("a"): "-3600x20", PAUSE.format("a"): "4800x20"}),
    ("AtelierApiErrors", {ANSWERS.format(200, ""): "0+990x20", ANSWERS.format(500, ""): "0+10x20"}),
    # refusals under load, and what another service answered, which counts it
    ("AtelierApiErrors", {ANSWERS.format(200, ""): "0+10x20", ANSWERS.format(503, "busy"): "0+990x20"}),
    ("AtelierApiErrors", {ANSWERS.format(200, ""): "0+10x20", ANSWERS.format(500, "owner"): "0+990x20"}),
    ("AtelierApiBusy", {ANSWERS.format(200, ""): "0+10x20", ANSWERS.format(503, ""): "0+990x20"}),
]


@pytest.mark.parametrize(("alert", "series"), FIRES)
def test_it_fires(alert: str, series: dict[str, str], tmp_path: Path) -> None:
    assert fires(alert, series, tmp_path)


@pytest.mark.parametrize(("alert", "series"), DOES_NOT_FIRE)
def test_it_does_not_fire(alert: str, series: dict[str, str], tmp_path: Path) -> None:
    assert not fires(alert, series, tmp_path)


def fires(alert: str, series: dict[str, str], directory: Path) -> bool:
    """Whether billing's alert fires at the end of twenty minutes; fails when promtool says neither yes nor no."""
    rule = next(rule for group in groups() for rule in group["rules"] if rule["alert"] == alert)
    firing = [{"exp_labels": {**OF.get(alert, {"service": "billing"}), **rule["labels"]}}]
    yes, no = (promtool(alert, series, expected, directory) for expected in (firing, []))
    assert yes != no
    return yes


def promtool(alert: str, series: dict[str, str], expected: list[Any], directory: Path) -> bool:
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "20m", "alertname": alert, "exp_alerts": expected}],
    }
    (directory / "rules.json").write_text(json.dumps({"groups": groups()}))
    (directory / "test.json").write_text(json.dumps({"rule_files": ["rules.json"], "tests": [case]}))
    command = [str(PROMTOOL), "test", "rules", "test.json"]
    return subprocess.run(command, cwd=directory, capture_output=True, check=False).returncode == 0


def groups() -> list[dict[str, Any]]:
    """The groups of rules without their words, which promtool would compare as well."""
    read: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    for group in read:
        for rule in group["rules"]:
            rule["annotations"] = {}
    return read
