"""What must be true once the dust has settled, asked of the databases, the object store, the twin and its inboxes."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx2

from crash import operating
from crash.crowd import BONUS_MILLICREDITS, Customer
from devstack.credentials import SERVICES
from devstack.services import BUCKET
from devstack.stack import Stack
from kit.blobs import Blobs

UNKNOWN = "outcome_unknown"
_UNSETTLED = {
    "gateway": {
        "jobs": "jobs WHERE finished_at IS NULL",
        "settlements": "jobs WHERE status <> 'refused' AND captured IS NULL",
        "deliveries": "jobs WHERE delivery = 'pending'",
    },
    "billing": {"holds": "holds WHERE state = 'open'"},
    "storage": {"registrations": "assets WHERE state = 'registering'"},
    "generation": {"attempts": "attempts WHERE ended_at IS NULL"},
}


@dataclass
class Verdict:
    """``faults`` is empty when every promise held; ``numbers`` says what was looked at."""

    numbers: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def demand(self, condition: bool, fault: str) -> None:
        """Note a broken promise."""
        if not condition:
            self.faults.append(fault)


async def rows(stack: Stack, database: str, query: str) -> list[asyncpg.Record]:
    """What a service's database answers."""
    connection = await asyncpg.connect(stack.infra.postgres.dsn(database), timeout=10)
    try:
        found: list[asyncpg.Record] = await connection.fetch(query)
        return found
    finally:
        await connection.close()


async def unsettled(stack: Stack) -> dict[str, int]:
    """What still has to happen, by kind; empty when nothing has."""
    left: dict[str, int] = {}
    for service in SERVICES:
        kinds = _UNSETTLED.get(service, {}) | {f"outbox of {service}": "outbox WHERE sent_at IS NULL"}
        counts = ", ".join(f'(SELECT count(*) FROM {which}) AS "{kind}"' for kind, which in kinds.items())
        (row,) = await rows(stack, service, f"SELECT {counts}")
        left |= {kind: count for kind, count in row.items() if count}
    return left


async def is_quiet(stack: Stack) -> bool:
    """Whether nothing has to happen any more."""
    return not await unsettled(stack)


async def judge(stack: Stack, customers: list[Customer]) -> Verdict:
    """Every promise, one after the other."""
    verdict = Verdict()
    jobs = {row["id"]: row for row in await rows(stack, "gateway", "SELECT * FROM jobs")}
    steps = await rows(stack, "generation", "SELECT * FROM steps")
    _judge_jobs(verdict, customers, jobs)
    await _judge_assets(verdict, stack, steps)
    await _judge_calls(verdict, stack, steps)
    await _judge_money(verdict, stack, customers, steps)
    await _judge_deliveries(verdict, customers)
    await _judge_kernel(verdict, stack)
    return verdict


def _judge_jobs(verdict: Verdict, customers: list[Customer], jobs: dict[str, asyncpg.Record]) -> None:
    accepted = [job_id for customer in customers for job_id in customer.accepted.values()]
    verdict.numbers |= {
        "accepted": len(accepted),
        "statuses": dict(Counter(row["status"] for row in jobs.values())),
        "answered 402": sum(len(customer.refused) for customer in customers),
        "requests repeated": sum(customer.repeats for customer in customers),
    }
    verdict.demand(len(set(accepted)) == len(accepted), "two requests got one job")
    verdict.demand(set(jobs) == set(accepted), f"jobs nobody was told of, or lost: {set(jobs) ^ set(accepted)}")
    verdict.demand(all(row["finished_at"] for row in jobs.values()), "a job is not terminal")


async def _judge_assets(verdict: Verdict, stack: Stack, steps: list[asyncpg.Record]) -> None:
    """Each delivered item has exactly one asset, whose bytes are there; no other item has one, unless it came late."""
    assets = await rows(stack, "storage", "SELECT * FROM assets WHERE source <> 'uploaded'")
    stored = Counter((row["job_id"], row["item"]) for row in assets if row["state"] == "stored" and not row["late"])
    delivered = {(row["job_id"], row["item"]) for row in steps if row["state"] == "stored"}
    verdict.numbers |= {"items": len(steps), "delivered": len(delivered), "late": sum(row["late"] for row in assets)}
    verdict.demand(set(stored) == delivered, f"items and assets differ: {set(stored) ^ delivered}")
    verdict.demand(all(count == 1 for count in stored.values()), "an item has two assets")
    unstated = [row["id"] for row in steps if row["state"] not in {"stored", "cancelled"} and not row["failure"]]
    verdict.demand(not unstated, f"neither delivered nor with a stated failure: {unstated}")

    s3 = stack.infra.s3
    blobs = Blobs(url=s3.url, access_key=s3.access_key, secret_key=s3.secret_key, bucket=BUCKET, region="us-east-1")
    try:
        for row in assets:
            if row["state"] == "stored":
                found = await blobs.head(row["object_key"])
                verdict.demand(found.size == row["size"], f"{row['id']} has other bytes than registered")
    finally:
        await blobs.close()


async def _judge_calls(verdict: Verdict, stack: Stack, steps: list[asyncpg.Record]) -> None:
    """What the provider would bill: at most one picture per item, and each is delivered or a stated loss."""
    async with httpx2.AsyncClient(base_url=stack.addresses.url("twins"), trust_env=False, timeout=60) as twins:
        calls = (await twins.get("/control/calls", params={"limit": 20_000})).json()["calls"]
    paid = Counter(call["idempotency_key"].rpartition("-")[0] for call in calls if call["paid"])
    by_id = {row["id"]: row for row in steps}
    lost = {row["id"] for row in steps if row["failure"] == UNKNOWN}
    cut_off = await rows(
        stack, "generation", "SELECT step_id FROM attempts WHERE outcome = 'unknown' AND detail LIKE '%cut off%'"
    )
    verdict.numbers |= {
        "paid calls": sum(paid.values()),
        "calls": len(calls),
        "outcome unknown": len(lost),
        "cut off by a kill": len(cut_off),
    }
    verdict.demand(sum(paid.values()) <= len(steps) + len(cut_off), "more was paid than items and cut-off calls")
    for step_id, count in paid.items():
        step = by_id.get(step_id)
        verdict.demand(step is not None, f"the provider was paid for {step_id}, which nobody knows")
        if step is not None:
            kept = step["state"] == "stored" or step["failure"] == UNKNOWN
            verdict.demand(kept, f"{step_id} was paid {count} times and is {step['state']} ({step['failure']})")
            verdict.demand(count == 1, f"{step_id} was paid {count} times")


async def _judge_money(verdict: Verdict, stack: Stack, customers: list[Customer], steps: list[asyncpg.Record]) -> None:
    """Every wallet is what it was given less what was captured, and what was lost is the platform's loss."""
    wallets = {row["account_id"]: row for row in await rows(stack, "billing", "SELECT * FROM wallets")}
    holds = await rows(stack, "billing", "SELECT * FROM holds")
    captured: dict[str, int] = defaultdict(int)
    for row in holds:
        captured[row["account_id"]] += row["captured"] or 0
    for customer in customers:
        wallet = wallets[customer.account_id]
        expected = BONUS_MILLICREDITS + customer.granted - captured[customer.account_id]
        verdict.demand(
            (wallet["available"], wallet["held"]) == (expected, 0),
            f"{customer.account_id} has {wallet['available']} and {wallet['held']} held, expected {expected} and 0",
        )
    runs = {row["job_id"]: row["item_prices"] for row in await rows(stack, "generation", "SELECT * FROM runs")}
    worth = sum(runs[row["job_id"]][row["item"]] for row in steps if row["failure"] == UNKNOWN)
    earned = sum(runs[row["job_id"]][row["item"]] for row in steps if row["state"] == "stored" and not row["fallback"])
    lost = sum(row["loss"] or 0 for row in holds)
    verdict.numbers |= {"captured": sum(captured.values()), "platform loss": lost}
    verdict.demand(sum(captured.values()) == earned, f"captured {sum(captured.values())}, delivered worth {earned}")
    verdict.demand(lost == worth, f"booked {lost} as loss, {worth} were lost")


async def _judge_deliveries(verdict: Verdict, customers: list[Customer]) -> None:
    arrived: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for customer in customers:
        for message in (await customer.http.get(f"{customer.inbox}/messages")).json()["messages"]:
            arrived[json.loads(message["body"])["data"]["job_id"]].append(message)
    wanted = {job_id for customer in customers for job_id in customer.delivered_to}
    verdict.numbers |= {"deliveries": len(wanted), "messages": sum(map(len, arrived.values()))}
    verdict.demand(set(arrived) == wanted, f"deliveries that never arrived, or unasked: {set(arrived) ^ wanted}")
    for job_id, messages in arrived.items():
        ids = {message["headers"]["webhook-id"] for message in messages}
        verdict.demand(len(ids) == 1, f"{job_id} was delivered under {len(ids)} ids")
        verdict.demand({message["verdict"] for message in messages} == {"valid"}, f"{job_id} has a bad signature")


async def _judge_kernel(verdict: Verdict, stack: Stack) -> None:
    for name in SERVICES:
        letters = await rows(stack, name, "SELECT type, error FROM dead_letters")
        verdict.demand(not letters, f"{name} has {len(letters)} dead letters, such as {[*letters[:1]]}")
    broken = await operating.violations(stack)
    verdict.demand(not broken, f"invariants do not hold: {broken}")
