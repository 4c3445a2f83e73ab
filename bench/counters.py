"""What one image job costs in things that can be counted: messages, row writes, S3 requests, transactions.

A transaction counts when it wrote something: PostgreSQL gives it an id then, and making a commit durable is what costs.
Those that only look (polls of relays and leases) come by the second and not by the job; they are told as `all
transactions` and not gated.

These figures do not depend on how fast the machine is, so they are gated: `python -m bench check` compares them with
the limits in `baseline.json`. Jobs wait in the log until all are posted, so that they are worked on at load.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.load import connect, customers, post, until_done
from bench.s3_proxy import S3Proxy
from devstack.credentials import SERVICES
from devstack.infra import Infra
from shared.topics import TOPICS

BASELINE = Path(__file__).parent / "baseline.json"
ACCOUNTS = 50
QUIET_SECONDS = 11.0
"""Idle backends tell of their last transactions within ten seconds."""
PAID_PATH = ("PUT", "HEAD")
_TABLES = "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS writes FROM pg_stat_user_tables"
_WRITERS = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True)
class Books:
    """All counters at one moment."""

    messages: int
    rows: Mapping[str, int]
    transactions: Mapping[str, int]
    writers: int
    s3: Mapping[str, int]


@dataclass(frozen=True)
class Cost:
    """Counted per job, in total and by part."""

    totals: Mapping[str, float]
    rows: Mapping[str, float]
    s3: Mapping[str, float]


async def count(infra: Infra, jobs: int) -> Cost:
    """Run so many jobs through a system of their own."""
    proxy = S3Proxy(infra.s3.url)
    await proxy.start()
    by_proxy = {"GENERATION_S3_URL": proxy.url, "STORAGE_S3_URL": proxy.url}
    async with customers(infra, ACCOUNTS, settings=by_proxy) as side:
        await asyncio.sleep(QUIET_SECONDS)
        before = await _read(infra, proxy)
        side.system.pause()
        await post(side, jobs)
        side.system.resume()
        await until_done(side, jobs)
    after = await _read(infra, proxy)  # a backend tells of its last transactions when it ends
    await proxy.stop()
    return _cost(before, after, jobs)


def compare(cost: Cost) -> list[str]:
    """What exceeds the baseline, one line each."""
    limits: dict[str, float] = json.loads(BASELINE.read_text())["limits"]
    return [
        f"{name}: {cost.totals[name]:.2f} per job, the limit is {limit:g}"
        for name, limit in limits.items()
        if cost.totals[name] > limit
    ]


def _cost(before: Books, after: Books, jobs: int) -> Cost:
    def per_job(now: Mapping[str, int], then: Mapping[str, int]) -> dict[str, float]:
        return {name: (now[name] - then.get(name, 0)) / jobs for name in now if now[name] != then.get(name, 0)}

    rows, transactions = per_job(after.rows, before.rows), per_job(after.transactions, before.transactions)
    s3 = per_job(after.s3, before.s3)
    totals = {
        "messages": (after.messages - before.messages) / jobs,
        "row writes": sum(rows.values()),
        "S3 requests": sum(s3.get(method, 0) for method in PAID_PATH),
        "transactions": (after.writers - before.writers) / jobs,
        "all transactions": sum(transactions.values()),
    }
    return Cost(totals, rows, s3)


async def _read(infra: Infra, proxy: S3Proxy) -> Books:
    rows: dict[str, int] = {}
    transactions: dict[str, int] = {}
    for service in SERVICES:
        books = await connect(infra, service)
        rows |= {f"{service}.{row['relname']}": row["writes"] for row in await books.fetch(_TABLES)}
        transactions[service] = await books.fetchval(_COMMITS)
        writers = await books.fetchval(_WRITERS)
        await books.close()
    return Books(await _messages(infra), rows, transactions, writers, Counter(proxy.requests))


async def _messages(infra: Infra) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=infra.kafka.bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for topic in TOPICS for number in range(topic.partitions)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()
