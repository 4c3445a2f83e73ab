"""What the Stripe twin still knows after a `kill -9`."""

import pytest


def restart(shop):
    shop.twin.kill()
    shop.twin.start()
    shop.stripe = shop.twin.stripe(shop.key)
    shop.api = shop.stripe.v1


class TestAfterAKill:
    def test_objects_events_and_answers_are_still_there(self, restartable_shop):
        shop = restartable_shop
        session = shop.buy(customer_creation="always")
        customer = shop.api.customers.create({"email": "a@b.c"}, {"idempotency_key": "key-1"})
        events = shop.events()

        restart(shop)

        assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"
        assert shop.api.customers.create({"email": "a@b.c"}, {"idempotency_key": "key-1"}).id == customer.id
        assert shop.events() == events

    def test_the_clock_stands_where_it_stood(self, restartable_shop):
        shop = restartable_shop
        shop.subscribe()
        shop.advance(days=32)

        restart(shop)
        shop.advance(days=31)

        assert len(shop.api.invoices.list().data) == 3

    @pytest.mark.parametrize("action", ["delay:600000", "reorder"])
    def test_a_pending_delivery_is_carried_on(self, restartable_shop, action):
        shop = restartable_shop
        shop.script({"action": action})
        shop.listen("checkout.session.completed")
        shop.buy()
        assert shop.received() == []

        port = shop.twin.url
        shop.twin.kill()
        shop.twin.start(port=int(port.rsplit(":", 1)[1]))
        shop.wait_for_deliveries(1)

        assert len(shop.received()) == 1
