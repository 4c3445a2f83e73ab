"""A running twin in a process of its own, as everything else uses it: over HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from openai import OpenAI
from stripe import StripeClient


class RunningTwin:
    def __init__(self, data: Path) -> None:
        self._data = data
        self.start()

    def start(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "twins", "serve", "--port", str(port), "--data", str(self._data)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        announcement = self.process.stdout.readline()
        self.url = announcement.split()[-1]
        self.http = httpx2.Client(base_url=self.url, timeout=30)
        assert self.http.get("/readyz").status_code == 200

    def kill(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait(timeout=10)
        self.process.stdout.close()

    def openai(self, key: str, timeout: float = 30) -> OpenAI:
        return OpenAI(api_key=key, base_url=f"{self.url}/openai/v1", max_retries=0, timeout=timeout)

    def stripe(self, key: str) -> StripeClient:
        return StripeClient(key, base_addresses={"api": f"{self.url}/stripe"}, max_network_retries=0)

    def calls(self, key: str) -> dict:
        return self.http.get("/control/calls", params={"api_key": key}).json()


@pytest.fixture(scope="session")
def twin(tmp_path_factory) -> Iterator[RunningTwin]:
    running = RunningTwin(tmp_path_factory.mktemp("twin"))
    yield running
    running.kill()


@pytest.fixture(scope="session")
def flat_twin(tmp_path_factory) -> Iterator[RunningTwin]:
    running = RunningTwin(tmp_path_factory.mktemp("flat-twin"))
    running.http.put("/control/settings", json={"art": "flat"}).raise_for_status()
    yield running
    running.kill()


@pytest.fixture
def restartable_twin(tmp_path) -> Iterator[RunningTwin]:
    running = RunningTwin(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def key() -> str:
    return f"sk-{uuid4().hex}"


@pytest.fixture
def client(twin, key) -> Iterator[OpenAI]:
    with twin.openai(key) as client:
        yield client


@pytest.fixture
def flat_client(flat_twin, key) -> Iterator[OpenAI]:
    with flat_twin.openai(key) as client:
        yield client


class Shop:
    """A merchant with an account of its own, a webhook inbox on the same twin, and customers who pay."""

    SECRET = "whsec_of_the_shop"

    def __init__(self, twin: RunningTwin) -> None:
        self.twin = twin
        self.key = f"sk_test_{uuid4().hex}"
        self.stripe = twin.stripe(self.key)
        self.api = self.stripe.v1
        self.inbox = f"stripe-{uuid4().hex[:12]}"

    def control(self, method: str, path: str, **body) -> dict:
        answer = self.twin.http.request(method, f"/control/stripe{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def session(self, price: str = "price_pack_500", mode: str = "payment", **more):
        wanted = {"mode": mode, "line_items": [{"price": price}], "success_url": "http://shop.example/done"}
        return self.api.checkout.sessions.create(wanted | more)

    def pay(self, session, number: str = "4242424242424242"):
        self.control("POST", f"/checkout-sessions/{session.id}/pay", number=number)
        return self.api.checkout.sessions.retrieve(session.id)

    def buy(self, price: str = "price_pack_500", number: str = "4242424242424242", **more):
        return self.pay(self.session(price, **more), number)

    def subscribe(self, price: str = "price_basic_monthly", number: str = "4242424242424242"):
        session = self.pay(self.session(price, "subscription"), number)
        return self.api.subscriptions.retrieve(session.subscription)

    def charge(self, session):
        return self.api.payment_intents.retrieve(session.payment_intent, {"expand": ["latest_charge"]}).latest_charge

    def advance(self, **time: int) -> None:
        self.control("POST", "/clock", api_key=self.key, **time)

    def events(self, *types: str) -> list[str]:
        """Types of events, oldest first; all of them, or those asked for."""
        happened = [event.type for event in self.api.events.list({"limit": 100}).data][::-1]
        return [type_ for type_ in happened if not types or type_ in types]

    def listen(self, *types: str, retry_seconds: tuple[float, ...] = (0.05, 0.05), **respond) -> None:
        if respond:
            self.twin.http.put(f"/hooks/{self.inbox}/config", json={"respond": respond}).raise_for_status()
        self.control(
            "PUT",
            "/endpoints",
            api_key=self.key,
            url=f"{self.twin.url}/hooks/{self.inbox}",
            secret=self.SECRET,
            enabled_events=list(types) or ["*"],
            retry_seconds=retry_seconds,
        )

    def script(self, *rules: dict) -> None:
        self.control("PUT", "/delivery-rules", api_key=self.key, rules=list(rules))

    def received(self) -> list[dict]:
        """What reached the inbox, oldest first."""
        return self.twin.http.get(f"/hooks/{self.inbox}/messages").json()["messages"][::-1]

    def deliveries(self) -> list[dict]:
        return self.twin.http.get("/control/stripe/deliveries", params={"api_key": self.key}).json()

    def wait_until(self, condition) -> None:
        """Look whenever the account changes."""
        account = self.twin.http.get("/control/stripe/account", params={"api_key": self.key}).json()["id"]
        with self.twin.http.stream("GET", "/changes", params={"topic": f"stripe/{account}"}, timeout=20) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data") and condition():
                    return

    def wait_for_deliveries(self, count: int, state: str = "delivered") -> None:
        self.wait_until(lambda: sum(delivery["state"] == state for delivery in self.deliveries()) >= count)


@pytest.fixture
def shop(flat_twin) -> Shop:
    return Shop(flat_twin)


@pytest.fixture
def restartable_shop(restartable_twin) -> Shop:
    return Shop(restartable_twin)
