"""Routes that other services own, reached through gateway."""

import asyncio

import httpx2
import pytest
from prometheus_client import REGISTRY

from gateway.app import UPLOAD_BYTES
from kit import problems

from .owner import Owner


async def ask_plainly(customer, target):
    """The answer to a GET on a bare socket: HTTP clients tidy paths up, and refuse to send what no URL may hold."""
    url = customer.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = (b"GET " + target + b" HTTP/1.1", b"Host: a", f"Authorization: Bearer {customer.key}".encode())
    writer.write(b"\r\n".join((*lines, b"Connection: close", b"", b"")))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def errors(route, status, excuse):
    """What metrics have counted of a route's answers."""
    labels = {"service": "gateway", "method": "GET", "route": route, "status": str(status), "excuse": excuse}
    return REGISTRY.get_sample_value("atelier_http_requests_total", labels) or 0.0


@pytest.fixture
async def wrong(serve):
    """A service that is not the one gateway thinks it is."""
    owner = Owner("publishing", audience="generation")
    async with serve(owner.app) as url:
        owner.url = url
        yield owner


@pytest.fixture
def overrides(owner, wrong):
    return {"storage_url": owner.url, "billing_url": owner.url, "publishing_url": wrong.url}


class TestScopes:
    @pytest.fixture
    async def billing(self, serve):
        billing = Owner("billing")
        async with serve(billing.app) as billing.url:
            yield billing

    @pytest.fixture
    def overrides(self, billing):
        return {"billing_url": billing.url}

    @pytest.fixture
    async def working(self, customer):
        """What a key may do that was made without naming scopes."""
        made = await customer.http.post("/v1/api-keys", json={"name": "capped"})
        return {"Authorization": f"Bearer {made.json()['key']}"}

    @pytest.mark.parametrize("path", ["/v1/spend-limits", "/v1/spend-limits/cap_1", "/v1/portal-sessions"])
    async def test_a_key_that_does_not_manage_changes_no_limit_of_its_own(self, customer, billing, working, path):
        refused = await customer.http.post(path, headers=working)
        reached = list(billing.requests)
        allowed = await customer.http.post(path)

        assert (refused.status_code, refused.json()["code"], reached) == (403, "insufficient_scope", [])
        assert refused.json()["needed"] == "manage"
        assert allowed.status_code == 200

    async def test_it_sees_the_limits_and_works(self, customer, working):
        assert (await customer.http.get("/v1/spend-limits", headers=working)).status_code == 200
        assert (await customer.http.post("/v1/quotes", headers=working)).status_code == 200


class TestIdentity:
    async def test_the_owner_learns_who_asks_and_no_credential_leaks(self, customer, owner):
        customer.http.cookies.set("atelier_session", "stolen")
        answer = await customer.http.get("/v1/assets", params={"limit": "2", "name": "a b"})

        assert answer.json()["account_id"] == customer.account_id
        assert answer.json()["actor"].startswith("key_")
        assert answer.json()["query"] == "limit=2&name=a+b"
        (request,) = owner.requests
        assert customer.key not in repr(request.headers)
        assert "cookie" not in request.headers

    async def test_a_token_is_good_for_one_request_alone(self, customer, owner):
        await customer.http.get("/v1/assets")
        stolen = {"Authorization": owner.requests[0].headers["Authorization"]}

        async with httpx2.AsyncClient(base_url=owner.url, headers=stolen, trust_env=False) as thief:
            answers = [await thief.get("/v1/assets"), await thief.get("/v1/assets/1"), await thief.post("/v1/assets")]

        assert [answer.status_code for answer in answers] == [200, 401, 401]

    async def test_a_token_is_good_for_one_service_alone(self, customer, owner, wrong):
        answer = await customer.http.get("/v1/deliveries")

        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert len(wrong.requests) == 1

    async def test_without_credentials_the_owner_is_not_bothered(self, http, owner):
        assert (await http.get("/v1/assets")).status_code == 401
        assert owner.requests == []

    async def test_prices_need_no_credentials_and_carry_none(self, customer, owner):
        assert (await customer.http.get("/v1/prices")).json() == {"version": "1"}
        assert "authorization" not in owner.requests[0].headers

    @pytest.mark.parametrize(
        "path", ["/v1/assets/../health", "/v1/assets/%2e%2e/health", "/v1/assets//health", "/v1/assets/./a"]
    )
    async def test_a_path_does_not_climb_out(self, live, owner, path):
        answer = await ask_plainly(live, path.encode())

        assert answer.startswith(b"HTTP/1.1 404")
        assert owner.requests == []

    @pytest.mark.parametrize(
        ("query", "status"),
        [(b"a" * 65_519, b"200"), (b"a" * 65_520, b"400"), (b"\xff", b"400"), (b"\x01", b"400"), (b"\x7f", b"400")],
    )
    async def test_every_target_that_the_server_reads_can_be_passed_on(self, live, owner, query, status):
        answer = await ask_plainly(live, b"/v1/assets?name=" + query)

        assert answer.startswith(b"HTTP/1.1 " + status)
        assert len(owner.requests) == (status == b"200")

    @pytest.mark.parametrize("name", ["a%3Fb", "a%23b", "%C3%A4", "a%20b"])
    async def test_an_escaped_path_arrives_as_it_was(self, live, owner, name):
        raw = httpx2.URL(live.http.base_url).copy_with(raw_path=f"/v1/assets/{name}".encode())
        answer = await live.http.send(live.http.build_request("GET", raw))

        assert answer.status_code == 200
        assert owner.requests[0].scope["raw_path"] == f"/v1/assets/{name}".encode()


class TestForwarding:
    async def test_a_problem_of_the_owner_is_the_answer(self, customer):
        answer = await customer.http.get("/v1/assets/foreign")

        assert (answer.status_code, answer.json()["code"]) == (404, "asset_not_found")
        assert answer.headers["Content-Type"] == problems.MEDIA_TYPE

    async def test_a_redirect_is_passed_on(self, customer):
        answer = await customer.http.get("/v1/assets/a/content")

        assert answer.status_code == 307
        assert answer.headers["Location"] == "https://files.example/a?signature=1"

    async def test_request_id_trace_and_idempotency_key_go_along(self, customer, owner):
        trace = "0af7651916cd43dd8448eb211c80319c"
        headers = {"X-Request-Id": "mine", "traceparent": f"00-{trace}-b7ad6b7169203331-01", "Idempotency-Key": "k"}
        answer = await customer.http.post("/v1/uploads", content=b"x", headers=headers)

        (request,) = owner.requests
        assert request.headers["x-request-id"] == answer.headers["x-request-id"] == "mine"
        assert request.headers["traceparent"].split("-")[1] == trace
        assert request.headers["idempotency-key"] == "k"

    async def test_a_header_of_any_bytes_goes_along(self, customer, owner):
        answer = await customer.http.post("/v1/uploads", content=b"x", headers={"Idempotency-Key": b"\xe4\xff"})

        assert answer.status_code == 201
        assert (b"idempotency-key", b"\xe4\xff") in owner.requests[0].scope["headers"]

    async def test_headers_of_one_hop_end_there(self, customer):
        streamed = await customer.http.get("/v1/assets/stream")
        uploaded = await customer.http.post("/v1/uploads", content=b"x")

        assert streamed.content == b"part" * 3
        assert streamed.headers["Content-Type"] == "application/x-parts"
        assert not {"keep-alive", "transfer-encoding"} & set(streamed.headers)
        assert (uploaded.status_code, uploaded.headers["Location"]) == (201, "/v1/assets/1")
        assert "set-cookie" not in uploaded.headers

    async def test_an_upload_is_streamed_through(self, live):
        size = 10 * 1024 * 1024

        async def parts():
            for _ in range(160):
                yield b"x" * (size // 160)

        answer = await live.http.post("/v1/uploads", content=parts())

        assert (answer.status_code, answer.text) == (201, str(size))

    async def test_an_upload_that_is_too_big_is_refused(self, live):
        answer = await live.http.post("/v1/uploads", content=b"x" * (UPLOAD_BYTES + 1))

        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    async def test_an_error_of_an_owner_is_counted_as_its_own(self, customer, owner):
        passed_on = errors("/v1/assets/{rest:path}", 500, "owner")
        unreached = errors("/v1/models", 503, "")

        assert (await customer.http.get("/v1/assets/broken")).status_code == 500
        assert (await customer.http.get("/v1/models")).status_code == 503

        assert errors("/v1/assets/{rest:path}", 500, "owner") == passed_on + 1
        assert errors("/v1/models", 503, "") == unreached + 1

    async def test_an_owner_that_is_away_is_a_problem_with_a_hint(self, customer):
        answer = await customer.http.get("/v1/models")

        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert answer.json()["service"] == "generation"
        assert int(answer.headers["Retry-After"]) > 0

    async def test_many_at_once_do_not_mix(self, live, open_account):
        customers = [(live.account_id, live.key), *[await open_account() for _ in range(4)]]

        async def ask(account_id, key):
            answer = await live.http.get("/v1/assets", headers={"Authorization": f"Bearer {key}"})
            return answer.json()["account_id"] == account_id

        seen = await asyncio.gather(*(ask(*customer) for customer in customers * 10))

        assert all(seen)
