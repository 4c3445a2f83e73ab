"""Both halves of a delivery meet in one row."""

from kit.testing import records

ROWS = (
    "SELECT id, account_id, job_id, state, url, type, body, causation_id, failures, attempt_count"
    " FROM deliveries ORDER BY id"
)


class TestHalves:
    async def test_the_request_alone_waits(self, publishing, journey, rows) -> None:
        await publishing.edge.handle(records(journey("http://127.0.0.1:1/").requested))

        assert [row["state"] for row in await rows(ROWS)] == ["waiting"]

    async def test_the_end_alone_waits(self, publishing, journey, rows) -> None:
        await publishing.edge.handle(records(journey("http://127.0.0.1:1/").ended))

        assert [row["state"] for row in await rows(ROWS)] == ["waiting"]

    async def test_a_second_outcome_of_a_job_changes_nothing(self, publishing, journey, rows) -> None:
        made = journey("http://127.0.0.1:1/")
        await publishing.edge.handle(records(made.requested, made.ended))
        before = await rows(ROWS)

        await publishing.edge.handle(records(made.ended.model_copy(update={"items": ()}).stamp()))

        assert await rows(ROWS) == before

    async def test_a_batch_of_many_jobs_is_planned_at_once(self, publishing, journey, rows) -> None:
        made = [journey("http://127.0.0.1:1/") for _ in range(60)]

        await publishing.edge.handle(records(*(one.requested for one in made), *(one.ended for one in made)))

        assert [row["state"] for row in await rows(ROWS)] == ["delivering"] * 60
