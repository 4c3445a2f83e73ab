"""The refund matrix: each way an item can end has one rule, and the receipt of its job names it."""

from datetime import UTC, datetime

import pytest

from billing.clawbacks import adjust
from billing.refunds import REFUNDS, rule_of
from kit.testing import emitted, records
from shared.events.generation import AttemptSummary, ItemResult
from shared.failures import FailureClass

PRICE = 4_000
NOTHING_MADE = ("input_moderated", "provider_rejected", "rate_limited", "deadline_before_start", "cancelled")
PLATFORM_PAYS = (
    "output_moderated",
    "provider_fault",
    "outcome_unknown",
    "deadline_after_start",
    "storage_rejected",
    "internal",
)


def sent(item):
    return AttemptSummary(item=item, number=1, model="m", started_at=datetime.now(UTC), ended_at=None, outcome="failed")


async def settled(service, job, end):
    await service.edge.handle(records(job, end))
    return (await emitted(service.db))[-1]


class TestMatrix:
    def test_every_failure_class_has_a_rule_and_every_rule_is_tested(self):
        assert {rule.outcome for rule in REFUNDS.values()} == {*FailureClass, "delivered"}
        assert {*NOTHING_MADE, *PLATFORM_PAYS, "delivered", "delivered_by_fallback"} == set(REFUNDS)

    def test_only_what_was_delivered_is_paid(self):
        assert [name for name, rule in REFUNDS.items() if rule.credits == "captured"] == ["delivered"]
        assert [name for name, rule in REFUNDS.items() if rule.borne_by == "customer"] == ["delivered"]

    @pytest.mark.parametrize("name", NOTHING_MADE)
    def test_where_nothing_was_made_nobody_pays(self, name):
        assert REFUNDS[name].borne_by == "nobody"

    @pytest.mark.parametrize("name", PLATFORM_PAYS)
    def test_where_something_was_made_in_vain_the_platform_pays(self, name):
        assert REFUNDS[name].borne_by == "platform"

    def test_a_class_that_is_not_known_counts_as_our_fault(self):
        assert rule_of(ItemResult(item=0, outcome="failed", price=0, failure="gremlins"), started=True) == "internal"


class TestReceipt:
    @pytest.mark.parametrize("failure", [item for item in FailureClass if item != FailureClass.DEADLINE])
    async def test_a_failed_item_is_released_by_the_rule_of_its_class(self, billing, make, account_id, failure):
        job = make.requested(account_id)
        receipt = await settled(billing, job, make.job_failed(job, make.failed(0, failure)))

        (item,) = receipt.items
        assert (item.rule, item.captured, item.paid_by) == (failure, 0, ())
        assert (receipt.captured, receipt.released, receipt.loss) == (0, PRICE, 0)

    async def test_an_unknown_outcome_is_booked_as_loss(self, billing, make, account_id):
        job = make.requested(account_id)
        lost = make.failed(0, "outcome_unknown", loss=PRICE)
        receipt = await settled(billing, job, make.job_failed(job, lost))

        assert (receipt.items[0].rule, receipt.released, receipt.loss) == ("outcome_unknown", PRICE, PRICE)

    async def test_a_deadline_before_the_start_costs_nobody_anything(self, billing, make, account_id):
        job = make.requested(account_id)
        receipt = await settled(billing, job, make.job_failed(job, make.failed(0, "deadline")))

        assert (receipt.items[0].rule, receipt.released) == ("deadline_before_start", PRICE)

    async def test_a_deadline_after_the_start_is_released_too_and_the_platform_bears_it(
        self, billing, make, account_id
    ):
        job = make.requested(account_id)
        end = make.job_failed(job, make.failed(0, "deadline")).model_copy(update={"attempts": (sent(0),)})
        receipt = await settled(billing, job, end)

        assert (receipt.items[0].rule, receipt.released) == ("deadline_after_start", PRICE)

    async def test_a_cancelled_job_pays_for_what_was_sent_and_delivered(self, billing, make, account_id):
        job = make.requested(account_id, input={"n": 2})
        stopped = ItemResult(item=1, outcome="cancelled", price=0, failure="cancelled")
        receipt = await settled(billing, job, make.cancelled(job, make.delivered(0, PRICE), stopped))

        assert [(item.rule, item.captured) for item in receipt.items] == [("delivered", PRICE), ("cancelled", 0)]
        assert receipt.released == PRICE

    async def test_a_free_stand_in_is_not_paid(self, billing, make, account_id):
        job = make.requested(account_id)
        stand_in = make.delivered(0, 0).model_copy(update={"fallback": True})
        receipt = await settled(billing, job, make.succeeded(job, stand_in))

        assert (receipt.items[0].rule, receipt.captured, receipt.released) == ("delivered_by_fallback", 0, PRICE)

    async def test_a_partial_batch_is_settled_item_by_item(self, billing, make, account_id, rows_of):
        job = make.requested(account_id, input={"n": 3})
        items = make.delivered(0, PRICE), make.failed(1, "output_moderated"), make.delivered(2, PRICE)
        receipt = await settled(billing, job, make.succeeded(job, *items))

        (grant,) = await rows_of("grants")
        first, withheld, last = receipt.items
        assert [item.rule for item in receipt.items] == ["delivered", "output_moderated", "delivered"]
        assert [(share.grant_id, share.amount) for share in first.paid_by + last.paid_by] == [(grant["id"], PRICE)] * 2
        assert withheld.paid_by == ()
        assert (first.asset_id, last.asset_id) == (items[0].asset_id, items[2].asset_id)

    async def test_an_item_may_be_paid_by_two_grants(self, billing, make, account_id, rows_of):
        """The bonus has 2 credits left when the second picture is paid."""
        await billing.edge.handle(records(make.registered(account_id)))
        async with billing.db.write() as session:
            await adjust(session, account_id=account_id, key="down", amount=-44_000, reason="test")
        async with billing.db.write() as session:
            await adjust(session, account_id=account_id, key="up", amount=50_000, reason="test")
        job = make.requested(account_id, input={"n": 2})
        receipt = await settled(billing, job, make.succeeded(job))

        grants = {row["id"]: row["source"] for row in await rows_of("grants")}
        paid = [[(grants[share.grant_id], share.amount) for share in item.paid_by] for item in receipt.items]
        assert paid == [[("bonus", 4_000)], [("bonus", 2_000), ("adjustment", 2_000)]]
