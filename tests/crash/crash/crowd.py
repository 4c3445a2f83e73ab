"""Customers who use nothing but the public API and never give up: a request is repeated until it is answered."""

import asyncio
import base64
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from billing.grants import grant_by_hand
from crash import operating
from devstack.stack import Stack
from kit.testing import eventually
from shared.prices import MILLICREDITS

CREDITS = 100_000
BONUS_MILLICREDITS = 50_000 + 10_000  # for registering, and for the sign-in that this is
POOR_SHARE_OF_CUSTOMERS = 4  # one in so many gets nothing beside the bonus, and meets 402 and refusals
SCRIPTS = (
    (0.60, ""),
    (0.15, "[[twin:delay:1500]]"),  # in flight for long enough to be killed there
    (0.08, "[[twin:500 x1]]"),
    (0.08, "[[twin:moderation:input]]"),
    (0.05, "[[twin:moderation:output x1]]"),
    (0.04, "[[twin:drop-after-success x1]]"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one customer will do once: ask, perhaps twice at the same moment, perhaps cancel."""

    number: int
    customer: int
    at: float
    script: str
    n: int
    cancel_after: float | None
    deliver: bool
    twice: bool

    @property
    def key(self) -> str:
        return f"wish-{self.number}"


def wishes(seed: int, jobs: int, customers: int, seconds: float) -> list[Wish]:
    """The wishes of a seed, spread over a time."""
    draw = random.Random(f"wishes {seed}")
    names, weights = [script for _, script in SCRIPTS], [share for share, _ in SCRIPTS]
    return [
        Wish(
            number=number,
            customer=draw.randrange(customers),
            at=draw.uniform(0, seconds),
            script=draw.choices(names, weights)[0],
            n=draw.randint(1, 4),
            cancel_after=draw.uniform(0, 1.5) if draw.random() < 0.1 else None,
            deliver=draw.random() < 0.3,
            twice=draw.random() < 0.2,
        )
        for number in range(jobs)
    ]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request and how long it took. ``status`` is 0 when nobody answered."""

    request: str
    at: float
    seconds: float
    status: int
    told: str

    @classmethod
    async def of(
        cls, http: httpx2.AsyncClient, method: str, path: str, **request: Any
    ) -> tuple["Answer", httpx2.Response | None]:
        """Ask once; the answer, and the response if there was one."""
        began = time.monotonic()
        response: httpx2.Response | None = None
        try:
            response = await http.request(method, path, **request)
            status, told = response.status_code, response.text
        except httpx2.TransportError as error:
            status, told = 0, repr(error)
        return cls(f"{method} {path}", began, time.monotonic() - began, status, told), response

    @property
    def code(self) -> str | None:
        """The stable code of a problem."""
        try:
            return str(json.loads(self.told)["code"])
        except (ValueError, KeyError, TypeError):
            return None


@dataclass
class Customer:
    """An account, its API key, its inbox, and the jobs it got for its wishes."""

    account_id: str
    http: httpx2.AsyncClient
    inbox: str
    secret: str
    granted: int
    accepted: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    delivered_to: set[str] = field(default_factory=set)
    repeats: int = 0
    answers: list[Answer] = field(default_factory=list)

    async def grant(self, wish: Wish) -> None:
        """Ask for it and see it through as far as the customer's part goes."""
        answers = await asyncio.gather(*(self._ask(wish) for _ in range(1 + wish.twice)))
        jobs = {answer.json()["id"] for answer in answers if answer.status_code == 202}
        if not jobs:
            self.refused.add(wish.key)
            return
        assert len(jobs) == 1, f"one key, two jobs: {jobs}"
        self.accepted[wish.key] = job_id = jobs.pop()
        if wish.deliver:
            self.delivered_to.add(job_id)
        if wish.cancel_after is not None:
            await asyncio.sleep(wish.cancel_after)
            await self._until_answered("POST", f"/v1/jobs/{job_id}/cancel", expected={202, 409})

    async def _ask(self, wish: Wish) -> httpx2.Response:
        body: dict[str, Any] = {
            "kind": "image",
            "input": {"prompt": f"{wish.script} a tile, number {wish.number}", "n": wish.n},
        }
        if wish.deliver:
            body["deliver"] = {"webhook": {"url": self.inbox, "secret": self.secret}}
        return await self._until_answered(
            "POST", "/v1/jobs", expected={202, 402}, json=body, headers={"Idempotency-Key": wish.key}
        )

    async def _until_answered(self, method: str, path: str, *, expected: set[int], **request: Any) -> httpx2.Response:
        """Repeat while nobody answers, or somebody says that it is for now impossible."""
        deadline, pause = time.monotonic() + 180, 0.2
        while True:
            answer, response = await Answer.of(self.http, method, path, **request)
            self.answers.append(answer)
            if response is not None and answer.status in expected:
                return response
            problem = f"{answer.status} {answer.told[:300]}"
            assert not answer.status or answer.status >= 500 or answer.status == 429, f"{path}: {problem}"
            assert time.monotonic() < deadline, f"{method} {path} was not answered for three minutes; last: {problem}"
            self.repeats += 1
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 2.0)


async def flat_pictures(stack: Stack) -> None:
    """Let the twin of the provider draw what costs no time."""
    async with httpx2.AsyncClient(base_url=stack.addresses.url("twins"), trust_env=False) as twins:
        (await twins.put("/control/settings", json={"art": "flat"})).raise_for_status()


async def enter(stack: Stack, number: int) -> Customer:
    """Register a customer and, unless it is to be a poor one, grant it credits."""
    account_id, api_key = await operating.register(stack, f"c{number}@example.com", signs_in=True)
    rich = number % POOR_SHARE_OF_CUSTOMERS != POOR_SHARE_OF_CUSTOMERS - 1
    if rich:
        await _granted(stack, account_id)
    inbox = f"{stack.addresses.url('twins')}/hooks/customer-{number}"
    http = httpx2.AsyncClient(
        base_url=stack.url, headers={"Authorization": f"Bearer {api_key}"}, timeout=10, trust_env=False
    )
    secret = "whsec_" + base64.b64encode(random.Random(f"secret {number}").randbytes(32)).decode()
    (await http.put(f"{inbox}/config", json={"secret": secret})).raise_for_status()
    return Customer(account_id, http, inbox, secret, CREDITS * MILLICREDITS if rich else 0)


async def _granted(stack: Stack, account_id: str) -> None:
    """Billing must have heard of the account first."""

    async def give() -> bool:
        async with operating.database(stack, "billing") as db, db.write() as session:
            return await grant_by_hand(
                session,
                account_id=account_id,
                key=f"crowd:{account_id}",
                amount=CREDITS * MILLICREDITS,
                reason="crowd",
                source="adjustment",
                expires_at=None,
            )

    await eventually(give, timeout=180)


async def command(stack: Stack, service: str, *arguments: str) -> str:
    """The last line that ``python -m service ...`` prints, with the running service's environment."""
    part = stack.service(service)
    process = await asyncio.create_subprocess_exec(
        *part.command()[:3],
        *arguments,
        env=dict(part.environment() or {}),
        cwd=part.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{service} {' '.join(arguments)}: {(output + errors).decode().strip()}")
    return output.decode().strip().splitlines()[-1]
