"""Webhooks: signed as the official library checks, repeated, and bent by scripts."""

import json

import pytest
import stripe

DONE = "checkout.session.completed"
PAID = "payment_intent.succeeded"


def verify(shop, message):
    return stripe.Webhook.construct_event(message["body"].encode(), message["headers"]["stripe-signature"], shop.SECRET)


def types(shop):
    return [json.loads(message["body"])["type"] for message in shop.received()]


class TestDelivery:
    def test_an_event_arrives_signed_and_as_it_is_listed(self, shop):
        shop.listen(DONE)
        session = shop.buy()
        shop.wait_for_deliveries(1)

        [message] = shop.received()
        event = verify(shop, message)

        assert (event.type, event.data.object["id"], event.pending_webhooks) == (DONE, session.id, 1)
        listed = shop.api.events.retrieve(event.id)
        assert (listed.data.object["id"], listed.pending_webhooks) == (session.id, 0)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(message["body"], message["headers"]["stripe-signature"], "whsec_other")

    def test_only_what_an_endpoint_wants_is_sent_and_all_of_it_to_a_star(self, shop):
        shop.listen("*")

        shop.buy()
        shop.wait_for_deliveries(4)

        assert sorted(types(shop)) == sorted(shop.events())

    def test_a_failure_is_repeated_until_it_is_taken(self, shop):
        shop.listen(DONE, fail_first=2)

        shop.buy()
        shop.wait_for_deliveries(1)

        assert [message["answered"] for message in shop.received()] == [503, 503, 204]
        assert len({json.loads(message["body"])["id"] for message in shop.received()}) == 1

    def test_what_was_never_taken_is_found_by_listing(self, shop):
        shop.listen(DONE, PAID, fail_first=1000)
        shop.buy()
        shop.wait_for_deliveries(2, "failed")
        undelivered = {"delivery_success": False}
        assert {event.type for event in shop.api.events.list(undelivered).data} == {DONE, PAID}
        assert len(shop.received()) == 6

        shop.twin.http.put(f"/hooks/{shop.inbox}/config", json={}).raise_for_status()
        [lost] = shop.api.events.list(undelivered | {"types": [DONE]}).data
        shop.control("POST", f"/events/{lost.id}/resend")
        shop.wait_for_deliveries(1)

        assert [event.type for event in shop.api.events.list(undelivered).data] == [PAID]

    def test_endpoints_can_be_kept_over_the_api(self, shop):
        url = f"{shop.twin.url}/hooks/{shop.inbox}"
        made = shop.api.webhook_endpoints.create({"url": url, "enabled_events": [DONE]})
        assert made.secret.startswith("whsec_")
        assert "secret" not in shop.api.webhook_endpoints.retrieve(made.id)

        shop.buy()
        shop.wait_for_deliveries(1)
        [message] = shop.received()
        stripe.Webhook.construct_event(message["body"], message["headers"]["stripe-signature"], made.secret)
        shop.api.webhook_endpoints.update(made.id, {"disabled": True})
        shop.buy()
        shop.api.webhook_endpoints.delete(made.id)

        assert shop.api.webhook_endpoints.list().data == []
        assert len(shop.deliveries()) == 1


class TestScripts:
    def test_duplicate(self, shop):
        shop.listen(DONE)
        shop.script({"action": "duplicate:2"})

        shop.buy()
        shop.wait_until(lambda: len(shop.received()) == 3)

        assert len({verify(shop, message).id for message in shop.received()}) == 1

    def test_drop(self, shop):
        shop.listen(DONE)
        shop.script({"action": "drop", "types": [DONE]})

        shop.buy()
        shop.wait_for_deliveries(1, "failed")

        assert shop.received() == []
        assert len(shop.api.events.list({"delivery_success": False}).data) == 1

    def test_reorder(self, shop):
        shop.listen(DONE, PAID)
        shop.script({"action": "reorder", "types": [PAID]})

        shop.buy()
        shop.wait_for_deliveries(2)

        assert types(shop) == [DONE, PAID]

    def test_delay_and_skip(self, shop):
        shop.listen(DONE)
        shop.script({"action": "delay:300", "skip": 1})

        first, second, third = (shop.buy().id for _ in range(3))
        shop.wait_for_deliveries(3)

        arrived = [verify(shop, message).data.object["id"] for message in shop.received()]
        assert arrived.index(second) > arrived.index(first)
        assert sorted(arrived) == sorted([first, second, third])

    @pytest.mark.parametrize("action", ["forged", "stale", "truncated"])
    def test_a_message_that_must_not_be_believed_comes_before_the_genuine_one(self, shop, action):
        shop.listen(DONE)
        shop.script({"action": action})

        shop.buy()
        shop.wait_for_deliveries(1)

        bad, good = shop.received()
        with pytest.raises(stripe.SignatureVerificationError):
            verify(shop, bad)
        assert verify(shop, good).type == DONE

    def test_an_unknown_action_is_refused(self, shop):
        for action in ("explode", "delay", "drop:1"):
            body = {"api_key": shop.key, "rules": [{"action": action}]}
            assert shop.twin.http.put("/control/stripe/delivery-rules", json=body).status_code == 422
