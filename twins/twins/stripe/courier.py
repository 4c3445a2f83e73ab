"""Carries events to webhook endpoints: signed, repeated until a 2xx, and bent as the account's delivery rules say.

How far a delivery got is on file after every attempt, so a restart goes on where it was.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections import defaultdict
from dataclasses import replace

import httpx2
import structlog

from twins.stripe.account import Account, Change, Delivery, Object
from twins.stripe.accounts import Accounts
from twins.stripe.delivery_rules import DeliveryRule
from twins.stripe.views import render

TIMEOUT_SECONDS = 10.0
STALE_SECONDS = 600
# A reordered event waits for another one to pass it, but not for ever.
REORDER_WAIT_SECONDS = 5.0

log = structlog.get_logger()


class Courier:
    """Deliveries run side by side, as Stripe's do: the order of arrival is nobody's promise."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, headers={"user-agent": "Stripe/1.0 (twin)"})
        self._tasks: set[asyncio.Task[None]] = set()
        self._overtaken: dict[str, list[asyncio.Event]] = defaultdict(list)
        self._accounts: Accounts | None = None

    def resume(self, accounts: Accounts) -> None:
        """Begin to work, first on what an earlier run left pending."""
        self._accounts = accounts
        for account in accounts.all():
            self.dispatch(account, [d for d in account.deliveries.values() if d.state == "pending"])

    def dispatch(self, account: Account, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            task = asyncio.create_task(self._carry(account, delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _carry(self, account: Account, delivery: Delivery) -> None:
        assert self._accounts is not None
        event = account.objects[delivery.event]
        rule = self._accounts.claim_rule(account, event["type"])
        if rule is not None and rule.name == "drop":
            self._record(account, delivery, "dropped", state="failed")
            return
        if rule is not None:
            delivery = await self._bend(account, delivery, rule)
        delivery = await self._deliver(account, delivery)
        if rule is not None and rule.name == "duplicate":
            for _ in range(int(rule.argument or 1)):
                delivery = await self._send(account, delivery, state="delivered")
        if rule is None or rule.name != "reorder":
            self._let_overtaken_go(delivery.endpoint)

    async def _bend(self, account: Account, delivery: Delivery, rule: DeliveryRule) -> Delivery:
        """What happens before the genuine message: waiting, or a message that must not be believed."""
        match rule.name:
            case "delay":
                await asyncio.sleep(int(rule.argument) / 1000)
            case "reorder":
                await self._be_overtaken(delivery.endpoint)
            case "forged" | "stale" | "truncated":
                return await self._send(account, delivery, state="pending", tampering=rule.name)
        return delivery

    async def _deliver(self, account: Account, delivery: Delivery) -> Delivery:
        """Attempts until one succeeds, the endpoint is gone, or the schedule is used up."""
        while True:
            endpoint = account.objects[delivery.endpoint]
            waits = endpoint["_retry_seconds"]
            last = delivery.attempts >= len(waits)
            wait = 0.0 if last else waits[delivery.attempts]
            delivery = await self._send(account, delivery, state="failed" if last else "pending", counts=True)
            if delivery.state != "pending":
                return delivery
            await asyncio.sleep(wait)

    async def _send(
        self, account: Account, delivery: Delivery, *, state: str, tampering: str | None = None, counts: bool = False
    ) -> Delivery:
        """One message. `state` is what the delivery becomes when a genuine message is not answered with 2xx."""
        endpoint = account.objects[delivery.endpoint]
        body = _body(account, delivery)
        signed_at = int(time.time()) - (STALE_SECONDS if tampering == "stale" else 0)
        secret = "whsec_forged" if tampering == "forged" else endpoint["_secret"]
        headers = {"content-type": "application/json", "stripe-signature": _sign(secret, signed_at, body)}
        if tampering == "truncated":
            body = body[: len(body) // 2]
        try:
            response = await self._client.post(endpoint["url"], content=body, headers=headers)
            outcome, accepted = str(response.status_code), response.is_success
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            outcome, accepted = type(error).__name__, False
        if tampering is not None:
            outcome, accepted = f"{tampering} {outcome}", False
        log.info("webhook.sent", event_id=delivery.event, endpoint=endpoint["url"], outcome=outcome)
        attempts = delivery.attempts + counts
        return self._record(
            account, replace(delivery, attempts=attempts), outcome, state="delivered" if accepted else state
        )

    def _record(self, account: Account, delivery: Delivery, outcome: str, *, state: str) -> Delivery:
        assert self._accounts is not None
        recorded = replace(delivery, state=state, outcomes=(*delivery.outcomes, outcome))
        self._accounts.record(account, recorded)
        return recorded

    async def _be_overtaken(self, endpoint: str) -> None:
        passed = asyncio.Event()
        self._overtaken[endpoint].append(passed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(passed.wait(), REORDER_WAIT_SECONDS)

    def _let_overtaken_go(self, endpoint: str) -> None:
        for passed in self._overtaken.pop(endpoint, []):
            passed.set()


def _body(account: Account, delivery: Delivery) -> bytes:
    event: Object = render(Change(account), account.objects[delivery.event])
    return json.dumps(event, indent=2).encode()


def _sign(secret: str, timestamp: int, body: bytes) -> str:
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"
