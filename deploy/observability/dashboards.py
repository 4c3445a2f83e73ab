"""Grafana dashboards as code: `python deploy/observability/dashboards.py` writes `dashboards/`, `--check` compares.

A panel is a title, a unit and PromQL. Metrics are those of `kit/metrics.py`; gauges of a database are the same in
every pod of a service, so they are joined by `max`, counters by `sum`.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
COLUMNS, WIDTH, HEIGHT = 24, 8, 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
HANDLED = 'outcome="done"'
OUTCOMES = ("succeeded", "failed", "cancelled", "refused")
STEPS = '{service="generation",work="steps"}'


@dataclass(frozen=True)
class Panel:
    """One graph; the key of `queries` is the legend."""

    title: str
    unit: str
    queries: dict[str, str]
    description: str = ""


def seen(service: str, event: str) -> str:
    """Events of one type per second, as `service` handled them."""
    return f'sum(rate(atelier_messages_total{{service="{service}",type="{event}",{HANDLED}}}[$__rate_interval]))'


def rate(metric: str, by: str) -> str:
    """What a counter grows by per second."""
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def quantile(share: float, histogram: str, labels: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({histogram}_bucket{labels}[$__rate_interval])))"


ENDED = " + ".join(seen("gateway", f"atelier.generation.job-{outcome}.v1") for outcome in OUTCOMES)

DASHBOARDS: dict[str, tuple[str, list[Panel]]] = {
    "jobs": (
        "Atelier: jobs",
        [
            Panel(
                "Accepted",
                "reqps",
                {
                    "{{status}}": rate(
                        'atelier_http_requests_total{service="gateway",method="POST",route="/v1/jobs"}', "status"
                    ),
                },
                "Answers to POST /v1/jobs.",
            ),
            Panel(
                "Ended",
                "ops",
                {outcome: seen("gateway", f"atelier.generation.job-{outcome}.v1") for outcome in OUTCOMES},
                "Terminal events, as gateway recorded them.",
            ),
            Panel(
                "Failed, of all that ended",
                "percentunit",
                {
                    "failed": f"{seen('gateway', 'atelier.generation.job-failed.v1')} / clamp_min({ENDED}, 0.001)",
                },
            ),
            Panel(
                "Time to answer, p99",
                "s",
                {
                    "{{service}}": quantile(0.99, "atelier_http_seconds", "", "service"),
                },
                "Until an answer begins: streams to their first byte, `Prefer: wait` with its wait.",
            ),
            Panel(
                "Answers with an error",
                "reqps",
                {
                    "{{service}} {{status}}": rate(
                        'atelier_http_requests_total{status=~"5..",excuse=""}', "service, status"
                    ),
                    "{{service}} busy": rate('atelier_http_requests_total{excuse="busy"}', "service"),
                },
                "500 and above; busy: refused under load. What gateway passes on counts where it was answered.",
            ),
            Panel(
                "Pictures kept and refused",
                "ops",
                {
                    "kept": seen("gateway", "atelier.storage.asset-stored.v1"),
                    "refused": seen("generation", "atelier.storage.asset-rejected.v1"),
                },
            ),
        ],
    ),
    "money": (
        "Atelier: money",
        [
            Panel(
                "Invariants violated",
                "short",
                {
                    "{{service}} {{invariant}}": "max by (service, invariant) (atelier_invariant_violations) > 0",
                },
                "Must be empty. Facts of every service, checked every five minutes.",
            ),
            Panel(
                "Holds and settlements",
                "ops",
                {
                    "held": seen("generation", "atelier.billing.credits-held.v1"),
                    "refused": seen("generation", "atelier.billing.credits-refused.v1"),
                    "settled": seen("gateway", "atelier.billing.credits-settled.v1"),
                },
                "In the long run, what is held is settled.",
            ),
            Panel(
                "Overdue holds called out",
                "short",
                {
                    "called out": 'sum(increase(atelier_leases_claimed_total{service="billing",work="holds"}[15m]))',
                },
                "A job outlived its deadline and grace. Must be zero.",
            ),
            Panel(
                "Accounts with a first grant",
                "ops",
                {
                    "registered": seen("billing", "atelier.gateway.account-registered.v1"),
                },
            ),
            Panel(
                "Billing: time of a batch, p99",
                "s",
                {
                    "p99": quantile(0.99, "atelier_batch_seconds", '{service="billing"}', "service"),
                },
            ),
            Panel(
                "Billing: behind",
                "short",
                {
                    "{{topic}}": 'sum by (topic) (atelier_consumer_lag{service="billing"})',
                },
            ),
        ],
    ),
    "events": (
        "Atelier: events",
        [
            Panel("Sent", "ops", {"{{service}}": rate("atelier_events_sent_total", "service")}),
            Panel("Waiting to be sent", "short", {"{{service}}": "max by (service) (atelier_outbox_pending)"}),
            Panel(
                "Age of the oldest that waits", "s", {"{{service}}": "max by (service) (atelier_outbox_age_seconds)"}
            ),
            Panel(
                "Relays at work",
                "short",
                {"{{service}}": "sum by (service) (atelier_relay_active)"},
                "One per service, always; none while Kafka does not answer.",
            ),
            Panel(
                "Consumers at work",
                "short",
                {"{{service}}": "sum by (service) (atelier_consumer_active)"},
                "Processes with a part in the group of their service; none while Kafka does not answer.",
            ),
            Panel(
                "Messages by outcome",
                "ops",
                {
                    "{{service}} {{outcome}}": rate('atelier_messages_total{outcome!="ignored"}', "service, outcome"),
                },
            ),
            Panel("Consumer lag", "short", {"{{service}} {{topic}}": "sum by (service, topic) (atelier_consumer_lag)"}),
            Panel(
                "Dead letters and what waits behind them",
                "short",
                {
                    "{{service}} {{state}}": "max by (service, state) (atelier_dead_letters)",
                },
            ),
            Panel(
                "Batches repeated",
                "ops",
                {
                    "{{service}}": rate("atelier_batches_repeated_total", "service"),
                },
                "Deadlocks, lock timeouts, a database that was away.",
            ),
            Panel("Time of a batch, p99", "s", {"{{service}}": quantile(0.99, "atelier_batch_seconds", "", "service")}),
            Panel(
                "Records that expired unread",
                "short",
                {
                    # not its increase: a counter that begins above zero has none
                    "{{service}}": "sum by (service) (atelier_records_lost_total)",
                },
                "Since the processes started. Must be zero.",
            ),
            Panel(
                "Writes that shared a transaction",
                "short",
                {
                    "{{service}}": rate("atelier_coalesced_writes_sum", "service")
                    + " / "
                    + rate("atelier_coalesced_writes_count", "service"),
                },
            ),
        ],
    ),
    "providers": (
        "Atelier: providers and leased work",
        [
            Panel(
                "Steps made",
                "ops",
                {
                    "made": rate('atelier_work_seconds_count{service="generation",work="steps"}', "work"),
                },
                "Each step is at least one call of a provider.",
            ),
            Panel(
                "Time of a step",
                "s",
                {
                    f"p{int(share * 100)}": quantile(share, "atelier_work_seconds", STEPS, "work")
                    for share in (0.5, 0.95)
                },
            ),
            Panel(
                "Work taken",
                "ops",
                {
                    "{{service}} {{work}}": rate("atelier_leases_claimed_total", "service, work"),
                },
            ),
            Panel(
                "Leases lost",
                "short",
                {
                    "{{service}} {{work}}": "sum by (service, work) (increase(atelier_leases_lost_total[15m]))",
                },
                "Killed workers, or work that takes longer than its lease.",
            ),
            Panel(
                "Deliveries to customers",
                "ops",
                {
                    "succeeded": seen("gateway", "atelier.publishing.delivery-succeeded.v1"),
                    "failed": seen("gateway", "atelier.publishing.delivery-failed.v1"),
                },
            ),
            Panel(
                "Time of a delivery attempt, p95",
                "s",
                {
                    "p95": quantile(0.95, "atelier_work_seconds", '{service="publishing",work="deliveries"}', "work"),
                },
            ),
        ],
    ),
}


def render(uid: str, title: str, panels: list[Panel]) -> dict[str, Any]:
    return {
        "uid": f"atelier-{uid}",
        "title": title,
        "tags": ["atelier"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": [panel(index, spec) for index, spec in enumerate(panels)],
    }


def panel(index: int, spec: Panel) -> dict[str, Any]:
    row, column = divmod(index * WIDTH, COLUMNS)
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": spec.title,
        "description": spec.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": column, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": spec.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(spec.queries.items())
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is out of date")
    check = parser.parse_args().check
    stale = []
    for uid, (title, panels) in DASHBOARDS.items():
        path, text = FOLDER / f"{uid}.json", json.dumps(render(uid, title, panels), indent=2) + "\n"
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        print(f"out of date: {', '.join(stale)}; run `python deploy/observability/dashboards.py`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
