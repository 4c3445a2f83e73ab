"""The wire: authentication, errors, idempotency keys, lists, expansion and faults, as the official SDK sees them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
import stripe
from stripe import StripeClient

PACK = {"mode": "payment", "line_items": [{"price": "price_pack_500"}], "success_url": "http://shop.example/done"}


def raw(shop, method, path, **options):
    return httpx2.request(method, f"{shop.twin.url}/stripe{path}", auth=None, **options)


class TestAuthentication:
    @pytest.mark.parametrize("key", ["pk_test_public", "sk_test_invalid_1", "nonsense"])
    def test_a_wrong_key_is_refused(self, flat_twin, key):
        with pytest.raises(stripe.AuthenticationError, match="Invalid API Key"):
            flat_twin.stripe(key).v1.customers.list()

    def test_no_key_is_refused_in_stripes_envelope(self, shop):
        answer = raw(shop, "GET", "/v1/customers")

        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "invalid_request_error"

    def test_every_key_has_an_account_of_its_own(self, shop, flat_twin):
        shop.api.customers.create({"email": "ada@example.com"})

        assert flat_twin.stripe("sk_test_another").v1.customers.list().data == []


class TestErrors:
    def test_an_unknown_object_is_a_404_with_its_request_id(self, shop):
        with pytest.raises(stripe.InvalidRequestError, match="No such subscription: 'sub_none'") as caught:
            shop.api.subscriptions.retrieve("sub_none")

        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
        assert caught.value.request_id.startswith("req_")

    @pytest.mark.parametrize(
        ("change", "message", "code", "param"),
        [
            ({"mode": None}, "Missing required param: mode", "parameter_missing", "mode"),
            ({"mode": "setup"}, "must be one of", None, "mode"),
            ({"colour": "red"}, "Received unknown parameter: colour", "parameter_unknown", "colour"),
            (
                {"line_items": [{"price": "price_pack_500", "quantity": "many"}]},
                "Invalid integer: many",
                "parameter_invalid_integer",
                "line_items[0][quantity]",
            ),
            (
                {"line_items": [{"price": "price_none"}]},
                "No such price: 'price_none'",
                "resource_missing",
                "line_items[0][price]",
            ),
            ({"line_items": [{"price": "price_pro_monthly"}]}, "recurring price", None, "line_items"),
            ({"expires_at": 1}, "at least 30 minutes", None, "expires_at"),
            ({"customer": "cus_none"}, "No such customer", "resource_missing", "customer"),
            ({"subscription_data": {"metadata": {"a": "b"}}}, "`payment` mode", None, "subscription_data"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, shop, change, message, code, param):
        wanted = {name: value for name, value in (PACK | change).items() if value is not None}

        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.api.checkout.sessions.create(wanted)

        assert message in str(caught.value)
        assert (caught.value.code, caught.value.param) == (code, param)

    def test_an_unknown_url_and_an_unknown_version_are_refused(self, shop):
        auth = {"authorization": f"Bearer {shop.key}"}

        assert raw(shop, "GET", "/v1/nothing", headers=auth).status_code == 404
        answer = raw(shop, "GET", "/v1/customers", headers=auth | {"stripe-version": "yesterday"})
        assert "Invalid Stripe API version" in answer.json()["error"]["message"]


class TestIdempotency:
    def create(self, shop, key, **change):
        return shop.api.customers.create({"email": "ada@example.com"} | change, {"idempotency_key": key})

    def test_the_same_request_gets_the_first_answer_again(self, shop):
        first, second = self.create(shop, "key-1"), self.create(shop, "key-1")

        assert second.id == first.id
        assert "Idempotent-Replayed" not in first.last_response.headers
        assert second.last_response.headers["Idempotent-Replayed"] == "true"
        assert second.last_response.headers["Original-Request"] == first.last_response.request_id
        assert len(shop.api.customers.list().data) == 1

    def test_other_parameters_and_other_endpoints_are_refused(self, shop):
        self.create(shop, "key-1")

        with pytest.raises(stripe.IdempotencyError, match="same parameters"):
            self.create(shop, "key-1", name="Ada")
        with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
            shop.api.products.create({"name": "x"}, {"idempotency_key": "key-1"})

    def test_a_refused_parameter_does_not_use_up_the_key(self, shop):
        with pytest.raises(stripe.InvalidRequestError):
            self.create(shop, "key-1", colour="red")

        assert self.create(shop, "key-1").email == "ada@example.com"

    def test_a_declined_card_is_an_answer_that_is_kept(self, shop):
        shop.subscribe(number="4000000000000341")
        shop.advance(days=32)
        invoice = shop.api.invoices.list({"status": "open"}).data[0]

        for _ in range(2):
            with pytest.raises(stripe.CardError, match="declined"):
                shop.api.invoices.pay(invoice.id, options={"idempotency_key": "pay-1"})

        assert shop.api.invoices.retrieve(invoice.id).attempt_count == 2  # the renewal's, and one of the two

    def test_a_key_is_busy_while_its_request_runs(self, shop):
        rule = {"action": "delay:1500", "api_key": shop.key, "prompt_contains": "first"}
        shop.twin.http.post("/control/faults", json=rule).raise_for_status()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(self.create, shop, "key-1", name="first")
            errors = self.conflicts_until_done(shop, first)

        assert errors == {"idempotency_key_in_use"}
        assert first.result().name == "first"

    def conflicts_until_done(self, shop, first):
        codes = set()
        started = threading.Event()
        first.add_done_callback(lambda _: started.set())
        client = StripeClient(shop.key, base_addresses={"api": f"{shop.twin.url}/stripe"}, max_network_retries=0)
        while not started.is_set() and not codes:
            if not shop.twin.calls(shop.key)["in_flight"]:
                continue
            try:
                client.v1.customers.create({"email": "ada@example.com", "name": "1st"}, {"idempotency_key": "key-1"})
            except stripe.APIError as error:
                codes.add(error.error.code)
        return codes


class TestLists:
    def test_pages_follow_each_other_newest_first(self, shop):
        ids = [shop.api.customers.create({"email": f"{number}@example.com"}).id for number in range(7)]

        first = shop.api.customers.list({"limit": 3})
        assert ([item.id for item in first.data], first.has_more) == (ids[:3:-1], True)
        assert [item.id for item in first.auto_paging_iter()] == ids[::-1]
        back = shop.api.customers.list({"limit": 2, "ending_before": ids[3]})
        assert ([item.id for item in back.data], back.has_more) == ([ids[5], ids[4]], True)
        assert [item.id for item in shop.api.customers.list({"email": "4@example.com"}).data] == [ids[4]]

    def test_a_limit_has_bounds(self, shop):
        with pytest.raises(stripe.InvalidRequestError):
            shop.api.customers.list({"limit": 101})

    def test_a_list_can_be_cut_by_time(self, shop):
        created = shop.api.customers.create({"email": "ada@example.com"}).created

        assert len(shop.api.customers.list({"created": {"gte": created}}).data) == 1
        assert shop.api.customers.list({"created": {"lt": created}}).data == []


class TestExpansion:
    def test_ids_become_objects_and_hidden_lists_appear(self, shop):
        paid = shop.buy(customer_creation="always")
        plain = shop.api.checkout.sessions.retrieve(paid.id)
        paths = ["line_items", "payment_intent.latest_charge.refunds", "customer"]
        rich = shop.api.checkout.sessions.retrieve(paid.id, {"expand": paths})

        assert isinstance(plain.customer, str)
        assert "line_items" not in plain
        assert rich.customer.object == "customer"
        assert rich.payment_intent.latest_charge.refunds.data == []
        assert rich.line_items.data[0].price.id == "price_pack_500"
        listed = shop.api.payment_intents.list({"expand": ["data.customer"]})
        assert listed.data[0].customer.email == "ada@example.com"

    def test_what_is_no_object_is_refused(self, shop):
        shop.api.customers.create({})

        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            shop.api.customers.list({"expand": ["data.email_address"]})


class TestForm:
    def test_metadata_keeps_names_that_look_like_numbers(self, shop):
        metadata = {"0": "zero", "1": "one", "a[b]": "c"} | {"umlaut": "ä & =+"}
        metadata.pop("a[b]")

        customer = shop.api.customers.create({"metadata": metadata})

        assert shop.api.customers.retrieve(customer.id).metadata.to_dict() == metadata

    def test_a_contradictory_name_is_refused(self, shop):
        headers = {"authorization": f"Bearer {shop.key}", "content-type": "application/x-www-form-urlencoded"}

        for body in ("metadata=1&metadata[a]=2", "metadata[a]=2&metadata=1", "metadata[a=1"):
            assert raw(shop, "POST", "/v1/customers", headers=headers, content=body).status_code == 400


class TestFaults:
    def fault(self, shop, action, **more):
        rule = {"action": action, "provider": "stripe", "api_key": shop.key} | more
        shop.twin.http.post("/control/faults", json=rule).raise_for_status()

    @pytest.mark.parametrize(
        ("action", "error"),
        [("429", stripe.RateLimitError), ("500", stripe.APIError), ("503:1", stripe.APIError)],
    )
    def test_a_refusal_does_nothing(self, shop, action, error):
        self.fault(shop, action)

        with pytest.raises(error):
            shop.api.customers.create({})

        assert shop.api.customers.list().data == []
        assert shop.twin.calls(shop.key)["matching"]["paid"] == 0

    @pytest.mark.parametrize("action", ["drop-after-success", "truncated", "garbage"])
    def test_a_lost_answer_is_found_again_by_its_key(self, shop, action):
        self.fault(shop, action, prompt_contains="POST /v1/customers")
        with pytest.raises((stripe.APIConnectionError, stripe.APIError)):
            shop.api.customers.create({}, {"idempotency_key": "key-1"})

        again = shop.api.customers.create({}, {"idempotency_key": "key-1"})

        assert [customer.id for customer in shop.api.customers.list().data] == [again.id]
        assert shop.twin.calls(shop.key)["matching"]["paid"] == 1

    def test_the_sdk_retries_by_itself_when_told_to(self, shop):
        self.fault(shop, "drop-after-success")
        client = StripeClient(shop.key, base_addresses={"api": f"{shop.twin.url}/stripe"}, max_network_retries=2)

        client.v1.customers.create({})

        assert len(client.v1.customers.list().data) == 1

    def test_a_fault_of_another_provider_is_told(self, shop):
        self.fault(shop, "moderation")

        with pytest.raises(stripe.InvalidRequestError, match="no fault 'moderation'"):
            shop.api.customers.create({})
