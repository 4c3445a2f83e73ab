"""Dashboards and alert rules: they parse, they name metrics that there are, and every alert leads to a runbook."""

import inspect
import json
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from composition import build
from kit import metrics
from shared import events

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "observability"
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["spec"]["groups"] for rule in group["rules"]]
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
OF_GRAFANA = {"$__rate_interval": "5m"}


@pytest.fixture(scope="session")
def promql(tools: Path) -> ModuleType:
    sys.path.append(str(tools))
    return import_module("promql_parser")


def queries() -> list[Any]:
    of_panels = [
        pytest.param(target["expr"], id=f"{name}: {panel['title']}: {target['legendFormat']}")
        for name, dashboard in DASHBOARDS.items()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    return [*of_panels, *(pytest.param(rule["expr"], id=rule["alert"]) for rule in RULES)]


def series() -> dict[str, set[str]]:
    """Names that Prometheus sees, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            described = next(iter(metric.describe()))
            labels = set(metric._labelnames)
            suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(described.type, ("",))
            for suffix in suffixes:
                found[described.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


@pytest.mark.parametrize("query", queries())
class TestQueries:
    def test_it_is_promql(self, query: str, promql: ModuleType) -> None:
        for variable, value in OF_GRAFANA.items():
            query = query.replace(variable, value)

        assert promql.parse(query)

    def test_it_names_metrics_and_labels_that_there_are(self, query: str) -> None:
        selectors = re.findall(r"(atelier_\w+)(?:\{([^}]*)\})?", query)
        known = series()

        assert selectors
        for name, matchers in selectors:
            assert name in known
            assert set(re.findall(r"(\w+)(?==|!=)", matchers)) <= known[name]
        grouped = {label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(", ")}
        assert grouped <= set.union(*(known[name] for name, _ in selectors))

    def test_it_names_events_that_there_are(self, query: str) -> None:
        wire_types = {event.wire_type for event in vars(events).values() if inspect.isclass(event) and is_event(event)}

        for wanted in re.findall(r'type="([^"]*)"', query):
            assert wanted in wire_types

    def test_it_counts_events_where_they_are_handled(self, query: str) -> None:
        for service, wire_type in re.findall(r'service="(\w+)",type="([^"]*)"', query):
            assert wire_type in handled_by(service)


class TestDashboards:
    def test_there_is_one_for_each_concern(self) -> None:
        assert set(DASHBOARDS) == {"jobs", "money", "events", "providers"}

    def test_they_are_what_the_code_makes(self) -> None:
        subprocess.run([sys.executable, FOLDER / "dashboards.py", "--check"], check=True)

    def test_panels_do_not_overlap(self) -> None:
        for dashboard in DASHBOARDS.values():
            places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]

            assert len(set(places)) == len(places)
            assert max(x for x, _ in places) < 24


class TestAlerts:
    @pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
    def test_it_leads_to_a_runbook(self, rule: dict[str, Any]) -> None:
        runbook = rule["annotations"]["runbook"]

        assert runbook.startswith("docs/runbooks/")
        assert (ROOT / runbook).is_file()
        assert Path(runbook).name in (ROOT / "docs" / "runbooks" / "README.md").read_text()
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"warning", "critical"}

    def test_the_bad_days_are_covered(self) -> None:
        assert {rule["alert"] for rule in RULES} >= {
            "AtelierMessageDied",
            "AtelierOutboxStuck",
            "AtelierConsumerDown",
            "AtelierConsumerStill",
            "AtelierConsumerLag",
            "AtelierDeadLetters",
            "AtelierHoldsOverdue",
            "AtelierRelayDown",
            "AtelierInvariantViolated",
        }


def is_event(found: type) -> bool:
    return bool(getattr(found, "wire_type", None))


@cache
def handled_by(service: str) -> set[str]:
    """Wire types that a service subscribes to."""
    return {subscription.event.wire_type for subscription in build(service).subscriptions}
