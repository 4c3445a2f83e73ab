"""An ended job is settled once: delivered items are captured, the rest is released."""

from kit.testing import emitted, records
from shared.events import CreditsHeld, CreditsRefused, CreditsSettled


async def settlements(service):
    return [event for event in await emitted(service.db) if isinstance(event, CreditsSettled)]


def lines(event):
    return [(line.account, line.amount) for line in event.entries]


class TestSettlement:
    async def test_a_delivered_job_is_captured(self, billing, make, account_id, wallet_of, hold_of):
        job = make.requested(account_id)
        done = make.succeeded(job)
        await billing.edge.handle(records(job, done))

        (settled,) = await settlements(billing)
        assert (settled.held, settled.captured, settled.released, settled.loss) == (4_000, 4_000, 0, 0)
        assert (settled.available, settled.wallet_held, settled.wallet_version) == (46_000, 0, 3)
        assert lines(settled) == [("customer.held", -4_000), ("platform.earned", 4_000)]
        assert settled.envelope.causation_id == done.envelope.id
        assert await wallet_of(account_id) == (46_000, 0)
        assert (await hold_of(job.job_id))["state"] == "settled"

    async def test_only_delivered_items_are_paid(self, billing, make, account_id, wallet_of):
        job = make.requested(account_id, input={"n": 3})
        items = make.delivered(0, 4_000), make.failed(1, "output_moderated"), make.failed(2, "provider_fault")
        await billing.edge.handle(records(job, make.succeeded(job, *items)))

        (settled,) = await settlements(billing)
        assert (settled.captured, settled.released) == (4_000, 8_000)
        assert await wallet_of(account_id) == (46_000, 0)

    async def test_a_failed_job_gives_everything_back(self, billing, make, account_id, wallet_of):
        job = make.requested(account_id)
        await billing.edge.handle(records(job, make.job_failed(job, make.failed(0, "input_moderated"))))

        (settled,) = await settlements(billing)
        assert lines(settled) == [("customer.held", -4_000), ("customer.available", 4_000)]
        assert await wallet_of(account_id) == (50_000, 0)

    async def test_a_cancelled_job_pays_for_what_was_delivered(self, billing, make, account_id, wallet_of):
        job = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job, make.cancelled(job, make.delivered(0, 4_000))))

        assert await wallet_of(account_id) == (46_000, 0)

    async def test_an_unknown_outcome_is_the_loss_of_the_platform(self, billing, make, account_id, wallet_of):
        job = make.requested(account_id)
        unknown = make.job_failed(job, make.failed(0, "outcome_unknown", loss=4_000))
        await billing.edge.handle(records(job, unknown))

        (settled,) = await settlements(billing)
        assert (settled.captured, settled.released, settled.loss) == (0, 4_000, 4_000)
        assert lines(settled) == [
            ("customer.held", -4_000),
            ("customer.available", 4_000),
            ("platform.loss", -4_000),
            ("platform.earned", 4_000),
        ]
        assert await wallet_of(account_id) == (50_000, 0)

    async def test_more_than_was_held_is_the_loss_of_the_platform(self, billing, make, account_id, wallet_of):
        job = make.requested(account_id)
        await billing.edge.handle(records(job, make.succeeded(job, make.delivered(0, 9_000))))

        (settled,) = await settlements(billing)
        assert (settled.captured, settled.released, settled.loss) == (4_000, 0, 5_000)
        assert await wallet_of(account_id) == (46_000, 0)

    async def test_a_second_outcome_changes_nothing(self, billing, make, account_id, wallet_of, hold_of):
        job = make.requested(account_id)
        await billing.edge.handle(records(job, make.succeeded(job)))
        await billing.edge.handle(records(make.job_failed(job, make.failed(0, "deadline")), make.succeeded(job)))

        assert len(await settlements(billing)) == 1
        assert (await hold_of(job.job_id))["outcome"] == "succeeded"
        assert await wallet_of(account_id) == (46_000, 0)


class TestAnyOrder:
    async def test_an_outcome_before_its_request_is_settled_when_the_request_comes(
        self, billing, make, account_id, wallet_of, hold_of
    ):
        job = make.requested(account_id)
        await billing.edge.handle(records(make.succeeded(job)))

        assert (await hold_of(job.job_id))["state"] == "awaited"

        await billing.edge.handle(records(job))

        _, held, settled = await emitted(billing.db)
        assert isinstance(held, CreditsHeld)
        assert isinstance(settled, CreditsSettled)
        assert settled.wallet_version == held.wallet_version + 1
        assert await wallet_of(account_id) == (46_000, 0)

    async def test_a_refused_job_is_never_settled(self, billing, make, account_id, hold_of):
        job = make.requested(account_id, input={"n": 4, "quality": "hd", "size": "1792x1024"}, kind="hologram")
        await billing.edge.handle(records(job))
        await billing.edge.handle(records(make.refused(job, "unknown_price")))

        assert await settlements(billing) == []
        hold = await hold_of(job.job_id)
        assert (hold["state"], hold["refusal"], hold["outcome"]) == ("refused", "unknown_price", "refused")

    async def test_what_was_delivered_for_a_refused_job_is_the_loss_of_the_platform(
        self, billing, make, account_id, wallet_of
    ):
        """Only a restored database can see this: the hold was granted in a past that was lost."""
        job = make.requested(account_id, price_version="1999-01-01")
        await billing.edge.handle(records(job, make.succeeded(job)))

        (settled,) = await settlements(billing)
        assert (settled.held, settled.captured, settled.loss) == (0, 0, 4_000)
        assert any(isinstance(event, CreditsRefused) for event in await emitted(billing.db))
        assert await wallet_of(account_id) == (50_000, 0)
