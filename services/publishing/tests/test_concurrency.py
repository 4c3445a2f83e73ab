"""Deliveries at the same time: against receivers that answer late."""

import asyncio

from kit.testing import eventually, records
from publishing.app import build


class TestConcurrency:
    async def test_as_many_receivers_are_called_at_once_as_the_settings_say(
        self, publishing, working, journey, receiver, answer
    ) -> None:
        many, hold = 80, asyncio.Event()
        receiver.say(*(answer(hold=hold) for _ in range(many)))
        busy = build(publishing.settings.model_copy(update={"delivery_concurrency": many}))
        made = [journey(receiver.url) for _ in range(many)]

        async with working(busy):
            await busy.edge.handle(records(*(event for one in made for event in (one.requested, one.ended))))
            await eventually(lambda: len(receiver.received) == many)
            hold.set()

        assert {got.headers["webhook-id"] for got in receiver.received} == {one.delivery_id for one in made}
