"""Stripe's events on bad days: twice, in any order, late, never, forged; and a billing that dies or meets no Stripe."""

import asyncio
import random
from datetime import UTC, datetime

import pytest
import structlog
from sqlalchemy import func, update

from billing.payments.fulfilment import Fulfilment
from billing.payments.stripe_api import StripeApi
from billing.payments.tables import stripe_events
from kit.testing import emitted, eventually, records
from shared.events import CreditsClawedBack, CreditsGranted, CreditsRefused, WebhookReceived
from shared.ids import new_id

PACK = 500_000
A_REFUSAL = "quota"  # a fault that Stripe does not have: the twin answers 400, about no object


@pytest.fixture
async def paid(customer, stripe):
    """A pack that was paid, of which billing has not heard yet."""
    return await stripe.pay(await customer.check_out())


async def outcomes(rows_of):
    return {(row["kind"], row["outcome"]) for row in await rows_of("stripe_events")}


class TestDelivery:
    @pytest.mark.parametrize(
        "rule",
        [
            {"action": "duplicate:2", "times": None},
            {"action": "reorder", "types": ["checkout.session.completed"]},
            {"action": "forged", "times": None},
            {"action": "stale", "times": None},
            {"action": "truncated", "times": None},
        ],
    )
    async def test_whatever_arrives_has_its_right_effect_once(self, customer, stripe, gateway, told, wallet_of, rule):
        await stripe.script(rule)
        await stripe.pay(await customer.check_out(plan="pro"))

        await gateway.settle()
        await gateway.settle()

        assert len(await told(CreditsGranted)) == 1
        assert await wallet_of(customer.account_id) == (4_000_000, 0)
        tampered = rule["action"] in {"forged", "stale", "truncated"}
        assert bool(gateway.refused) is tampered

    async def test_a_lost_webhook_is_found_by_the_sweep(self, stripe, gateway, customer, rows_of, wallet_of):
        await stripe.script({"action": "drop", "times": None})
        await stripe.pay(await customer.check_out())
        assert await gateway.pass_on() == []

        await gateway.sweep()
        await gateway.sweep()

        (event,) = await rows_of("stripe_events")
        assert (event["source"], event["outcome"]) == ("sweep", "granted")
        assert await wallet_of(customer.account_id) == (PACK, 0)

    async def test_a_late_webhook_after_the_sweep_changes_nothing(self, paid, stripe, gateway, customer, wallet_of):
        await stripe.script({"action": "drop", "times": None})
        await stripe.pay(await customer.check_out())
        await gateway.sweep()
        await stripe.script()
        for event in (await stripe.get("/events", type="checkout.session.completed"))["data"]:
            await stripe.control("POST", f"/events/{event['id']}/resend")

        await gateway.settle()

        assert await wallet_of(customer.account_id) == (2 * PACK, 0)

    async def test_what_is_not_ours_is_left_alone(self, stripe, gateway, rows_of, customer):
        session = {"mode": "payment", "line_items[0][price]": "price_pack_500", "success_url": "http://x.example/"}
        metadata = {"metadata[checkout_id]": new_id("chk"), "metadata[account_id]": customer.account_id}
        for foreign in (session, session | metadata):
            made = await stripe.post("/checkout/sessions", **foreign)
            await stripe.pay(made)
            await stripe.post("/refunds", payment_intent=(await self.intent(stripe, made)))

        await gateway.settle()

        # two events of one refund are looked into at the same time, and the earlier answer of the two may come last
        assert {outcome for _, outcome in await outcomes(rows_of)} <= {"ignored", "superseded"}
        assert await rows_of("grants") == []

    async def intent(self, stripe, made):
        return (await stripe.get(f"/checkout/sessions/{made['id']}"))["payment_intent"]


class TestRunningService:
    async def test_checks_its_prices_and_does_all_of_this_by_itself(self, stripe, gateway, customer, billing, rows_of):
        billing.roles = frozenset({"worker"})  # the test is the consumer
        async with billing.running():
            await stripe.pay(await customer.check_out())
            await gateway.pass_on()
            await eventually(lambda: rows_of("grants"), timeout=30)

        assert await outcomes(rows_of) == {("checkout.session.completed", "granted")}


class TestRefund:
    async def test_takes_back_its_share(self, paid, stripe, gateway, customer, told, wallet_of):
        await gateway.settle()
        await stripe.post("/refunds", payment_intent=paid["payment_intent"], amount=200)
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (PACK - 200_000, 0)

        await stripe.post("/refunds", payment_intent=paid["payment_intent"])
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (0, 0)
        assert [event.amount for event in await told(CreditsClawedBack)] == [200_000, 300_000]

    async def test_of_spent_credits_leaves_a_debt(self, paid, stripe, gateway, customer, billing, make, wallet_of):
        await gateway.settle()
        job = make.requested(customer.account_id)
        await billing.edge.handle(records(job, make.succeeded(job)))
        await stripe.post("/refunds", payment_intent=paid["payment_intent"])

        await gateway.settle()

        assert await wallet_of(customer.account_id) == (-job.price, 0)

    async def test_that_fails_gives_the_credits_back_once(self, paid, stripe, gateway, customer, wallet_of):
        await gateway.settle()
        refund = await stripe.post("/refunds", payment_intent=paid["payment_intent"])
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (0, 0)

        await stripe.control("POST", f"/refunds/{refund['id']}/fail")
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (PACK, 0)

        await stripe.post("/refunds", payment_intent=paid["payment_intent"])
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (0, 0)

    async def test_of_a_plan_takes_back_its_period(self, customer, stripe, gateway, wallet_of):
        await stripe.pay(await customer.check_out(plan="basic"))
        await gateway.settle()
        (charge,) = (await stripe.get("/charges"))["data"]

        await stripe.post("/refunds", charge=charge["id"])
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (0, 0)


class TestDispute:
    @pytest.mark.parametrize(("outcome", "left"), [("won", PACK), ("lost", 0)])
    async def test_takes_the_credits_until_it_is_decided(
        self, paid, stripe, gateway, customer, wallet_of, outcome, left
    ):
        await gateway.settle()
        dispute = await stripe.control("POST", "/disputes", payment_intent=paid["payment_intent"])
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (0, 0)

        await stripe.control("POST", f"/disputes/{dispute['id']}/close", outcome=outcome)
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (left, 0)

    async def test_of_a_spent_pack_leaves_a_debt_that_blocks_new_work(
        self, paid, stripe, gateway, customer, billing, make, told, wallet_of
    ):
        await gateway.settle()
        dear = {"n": 4, "quality": "hd", "size": "1792x1024"}
        jobs = [make.requested(customer.account_id, input=dear) for _ in range(10)]
        await billing.edge.handle(records(*jobs, *(make.succeeded(job) for job in jobs)))
        await stripe.control("POST", "/disputes", payment_intent=paid["payment_intent"])

        await gateway.settle()
        await billing.edge.handle(records(make.requested(customer.account_id)))

        assert await wallet_of(customer.account_id) == (-480_000, 0)
        (refused,) = await told(CreditsRefused)
        assert refused.code == "balance_negative"

    async def test_takes_nothing_while_the_bank_only_inquires(self, paid, stripe, gateway, customer, wallet_of):
        await gateway.settle()
        inquiry = await stripe.control("POST", "/disputes", payment_intent=paid["payment_intent"], inquiry=True)
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (PACK, 0)

        await stripe.control("POST", f"/disputes/{inquiry['id']}/escalate")
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (0, 0)

    async def test_an_answer_that_a_slow_worker_got_before_it_was_won_takes_nothing(
        self, paid, stripe, gateway, customer, billing, told, wallet_of
    ):
        await gateway.settle()
        dispute = await stripe.control("POST", "/disputes", payment_intent=paid["payment_intent"])
        api = StripeApi.from_settings(billing.settings)
        slow = await api.dispute(dispute["id"], at=datetime.now(UTC))
        await api.close()
        await stripe.control("POST", f"/disputes/{dispute['id']}/close", outcome="won")
        await gateway.settle()

        async with billing.db.write() as session:
            outcome = await Fulfilment(billing.settings.offers, bonus=0).apply(session, [slow])

        assert outcome == "superseded"
        assert await told(CreditsClawedBack) == []
        assert await wallet_of(customer.account_id) == (PACK, 0)

    async def test_that_was_won_before_billing_heard_of_it_moves_nothing(
        self, paid, stripe, gateway, customer, told, wallet_of
    ):
        dispute = await stripe.control("POST", "/disputes", payment_intent=paid["payment_intent"])
        await stripe.control("POST", f"/disputes/{dispute['id']}/close", outcome="won")

        await gateway.settle()

        assert await told(CreditsClawedBack) == []
        assert await wallet_of(customer.account_id) == (PACK, 0)


class TestOrder:
    @pytest.mark.parametrize("seed", range(4))
    async def test_any_order_with_duplicates_ends_the_same(
        self, stripe, gateway, customer, billing, wallet_of, make, seed
    ):
        """A pack partly refunded, a plan renewed once and then disputed: told shuffled, in parts, everything twice."""
        bought = await stripe.pay(await customer.check_out())
        await stripe.post("/refunds", payment_intent=bought["payment_intent"], amount=100)
        await stripe.pay(await customer.check_out(plan="basic"))
        await stripe.advance(32)
        latest = (await stripe.get("/charges"))["data"][0]
        await stripe.control("POST", "/disputes", charge=latest["id"])
        await eventually(gateway._everything_sent)
        events = [event for message in await stripe.messages() if (event := gateway._read(message))]
        chaos = random.Random(seed)
        shuffled = chaos.sample(events * 2, k=len(events) * 2)

        for start in range(0, len(shuffled), 7):
            await billing.edge.handle(records(*shuffled[start : start + 7]))
            await gateway.work()

        assert await wallet_of(customer.account_id) == (400_000 + 1_000_000, 0)
        assert (await customer.get("subscription"))["status"] == "active"

    async def test_a_refund_may_be_heard_of_before_its_purchase(
        self, paid, stripe, gateway, customer, billing, rows_of
    ):
        await stripe.post("/refunds", payment_intent=paid["payment_intent"], amount=100)
        await eventually(gateway._everything_sent)
        events = [event for message in await stripe.messages() if (event := gateway._read(message))]
        refund = next(event for event in events if event.kind == "refund.created")

        await billing.edge.handle(records(refund))
        await gateway.work()
        await gateway.settle()

        (wallet,) = await rows_of("wallets")
        assert wallet["available"] == PACK - 100_000


class TestBadDays:
    async def test_a_stripe_that_is_away_is_asked_again(self, paid, stripe, gateway, customer, wallet_of):
        await stripe.fault("500", "GET /v1/checkout/sessions")

        await gateway.settle()

        assert await wallet_of(customer.account_id) == (PACK, 0)

    @pytest.mark.parametrize(("fault", "traceback"), [("500", False), ("429", False), ("drop", False), ("quota", True)])
    async def test_is_one_line_in_the_log_each_time_unless_somebody_has_to_mend_it(
        self, paid, stripe, gateway, fault, traceback
    ):
        await stripe.fault(fault, "GET /v1/checkout/sessions")

        with structlog.testing.capture_logs() as logs:
            await gateway.settle()

        (delayed,) = [entry for entry in logs if entry["event"] == "work.delayed"]
        assert bool(delayed["exc_info"]) is traceback

    async def test_a_stripe_that_refuses_us_loses_no_payment(self, paid, stripe, gateway, customer, rows_of, wallet_of):
        """A revoked key, a permission that is missing: the payment is granted once somebody has mended it."""
        await stripe.fault(A_REFUSAL, "GET /v1/checkout/sessions")

        await gateway.settle()

        (event,) = await rows_of("stripe_events")
        assert event["attempts"] == 2
        assert await wallet_of(customer.account_id) == (PACK, 0)

    async def test_an_object_that_stripe_does_not_have_is_given_up(self, gateway, billing, customer, rows_of):
        told = WebhookReceived(
            subject="stripe:cs_none",
            sender="stripe",
            external_id="evt_none",
            kind="checkout.session.completed",
            object_id="cs_none",
            received_at=datetime.now(UTC),
        )
        await billing.edge.handle(records(told))

        await gateway.work()

        assert await outcomes(rows_of) == {("checkout.session.completed", "ignored")}

    async def test_a_process_that_dies_while_it_asks_is_followed_by_another(
        self, paid, stripe, gateway, customer, billing, rows_of, wallet_of
    ):
        await stripe.fault("timeout", "GET /v1/checkout/sessions")
        await gateway.pass_on()
        (worker,) = [worker for worker in billing.workers if worker.name == "stripe_events"]
        dying = asyncio.create_task(worker.run())
        await eventually(lambda: self.is_leased(rows_of))
        dying.cancel()
        await worker.drain(0)
        async with billing.db.write() as session:
            await session.execute(update(stripe_events).values(leased_until=func.now()))

        await gateway.work()

        assert await wallet_of(customer.account_id) == (PACK, 0)

    async def is_leased(self, rows_of):
        return any(row["leased_until"] for row in await rows_of("stripe_events"))

    async def test_a_process_that_dies_before_its_commit_has_done_nothing(
        self, paid, gateway, customer, billing, rows_of, wallet_of, monkeypatch
    ):
        await gateway.pass_on()
        commits = billing.db._before_commit.copy()

        async def die(session):
            monkeypatch.setattr(billing.db, "_before_commit", commits)
            raise ConnectionResetError("killed before the commit")

        (worker,) = [worker for worker in billing.workers if worker.name == "stripe_events"]
        await worker._claim()
        monkeypatch.setattr(billing.db, "_before_commit", [*commits, die])
        await worker.drain(10)
        assert await rows_of("grants") == []

        await gateway.work()

        assert await wallet_of(customer.account_id) == (PACK, 0)
        assert [type(event) for event in await emitted(billing.db)] == [CreditsGranted]

    class TestUnknownPrice:
        @pytest.fixture
        def settings(self, settings):
            return settings | {"plans": [settings["plans"][0]]}

        async def test_a_paid_invoice_that_is_worth_nothing_known_is_never_forgotten(
            self, stripe, gateway, customer, billing, rows_of
        ):
            session = {
                "mode": "subscription",
                "line_items[0][price]": "price_pro_monthly",
                "success_url": "http://x.example/",
                "subscription_data[metadata][account_id]": customer.account_id,
            }
            await stripe.pay(await stripe.post("/checkout/sessions", **session))
            events = await gateway.pass_on()
            (worker,) = [worker for worker in billing.workers if worker.name == "stripe_events"]

            await worker._claim()
            await worker.drain(20)

            assert "invoice.paid" in {event.kind for event in events}
            (unpaid_out,) = [row for row in await rows_of("stripe_events") if row["kind"] == "invoice.paid"]
            assert unpaid_out["outcome"] is None
            assert unpaid_out["due_at"] is not None
            assert await rows_of("grants") == []
