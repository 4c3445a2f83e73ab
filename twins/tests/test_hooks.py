import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook

# The published vector of the Standard Webhooks specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


@pytest.fixture
def inbox() -> str:
    return f"inbox-{uuid4().hex[:12]}"


def configure(twin, inbox, **config):
    twin.http.put(f"/hooks/{inbox}/config", json=config).raise_for_status()


def deliver(twin, inbox, body=BODY, headers=None):
    return twin.http.post(f"/hooks/{inbox}", content=body, headers=headers or {})


def messages(twin, inbox):
    return twin.http.get(f"/hooks/{inbox}/messages").json()["messages"]


def signed(secret=SECRET, body=BODY, at=None):
    at = at or datetime.now(UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, body.decode()),
    }


class TestSignature:
    def verdict(self, twin, inbox, headers, body=BODY):
        deliver(twin, inbox, body, headers)
        return messages(twin, inbox)[0]["verdict"]

    def test_the_published_vector_holds_when_its_age_is_tolerated(self, flat_twin, inbox):
        configure(flat_twin, inbox, secret=SECRET, tolerance_seconds=None)

        assert self.verdict(flat_twin, inbox, VECTOR) == "valid"

    def test_the_published_vector_is_stale_today(self, flat_twin, inbox):
        configure(flat_twin, inbox, secret=SECRET)

        assert self.verdict(flat_twin, inbox, VECTOR) == "stale"

    def test_a_fresh_signature_holds_and_so_does_one_among_several(self, flat_twin, inbox):
        configure(flat_twin, inbox, secret=SECRET)
        headers = signed()

        assert self.verdict(flat_twin, inbox, headers) == "valid"
        headers["webhook-signature"] = "v1,AAAA v1a,BBBB " + headers["webhook-signature"]
        assert self.verdict(flat_twin, inbox, headers) == "valid"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"webhook-signature": "v1,AAAA"},
            {"webhook-signature": "nonsense"},
            {"webhook-id": "msg_2"},
            {"webhook-timestamp": "soon"},
            {"webhook-timestamp": "9" * 30},
        ],
    )
    def test_anything_else_does_not_hold(self, flat_twin, inbox, wrong):
        configure(flat_twin, inbox, secret=SECRET)

        assert self.verdict(flat_twin, inbox, {**signed(), **wrong}) == "invalid"

    def test_a_changed_body_does_not_hold(self, flat_twin, inbox):
        configure(flat_twin, inbox, secret=SECRET)

        assert self.verdict(flat_twin, inbox, signed(), body=b'{"test": 1}') == "invalid"
        assert self.verdict(flat_twin, inbox, signed(), body=b"\xff") == "invalid"

    def test_without_headers_or_without_secret_there_is_nothing_to_check(self, flat_twin, inbox):
        assert self.verdict(flat_twin, inbox, signed()) == "unchecked"
        assert self.verdict(flat_twin, inbox, {}) == "unsigned"


class TestAnswers:
    def test_are_204_by_default(self, flat_twin, inbox):
        assert deliver(flat_twin, inbox).status_code == 204

    def test_fail_first_and_then_succeed(self, flat_twin, inbox):
        configure(flat_twin, inbox, respond={"status": 200, "fail_first": 2, "fail_status": 500})

        assert [deliver(flat_twin, inbox).status_code for _ in range(4)] == [500, 500, 200, 200]
        assert [message["answered"] for message in messages(flat_twin, inbox)] == [200, 200, 500, 500]

    def test_can_be_slow(self, flat_twin, inbox):
        configure(flat_twin, inbox, respond={"delay_ms": 200})
        started = time.monotonic()

        deliver(flat_twin, inbox)

        assert time.monotonic() - started >= 0.2

    def test_refuse_a_body_that_is_too_large(self, flat_twin, inbox):
        assert deliver(flat_twin, inbox, b"x" * (1024 * 1024 + 1)).status_code == 413
        assert messages(flat_twin, inbox) == []

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "geheim"])
    def test_refuse_a_secret_that_is_none(self, flat_twin, inbox, secret):
        answer = flat_twin.http.put(f"/hooks/{inbox}/config", json={"secret": secret})

        assert answer.status_code == 422

    def test_refuse_a_name_that_is_no_inbox(self, flat_twin):
        assert flat_twin.http.post("/hooks/a%20b", content=b"").status_code == 422


class TestPages:
    def test_an_inbox_shows_what_arrived_without_running_it(self, flat_twin, inbox):
        configure(flat_twin, inbox, secret=SECRET)
        deliver(flat_twin, inbox, b'{"note":"<script>alert(1)</script>"}', {"webhook-id": "msg_<b>"})

        page = flat_twin.http.get(f"/hooks/{inbox}")
        assert "not signed" in page.text
        assert "&lt;script&gt;" in page.text
        assert "<script>alert" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]

    def test_a_page_loads_nothing_from_elsewhere(self, flat_twin, inbox):
        for path in ("/", f"/hooks/{inbox}", "/assets/twins.css", "/assets/live.js"):
            answer = flat_twin.http.get(path)
            assert answer.status_code == 200
            assert "://" not in answer.text

    def test_an_open_page_is_told_of_a_change(self, flat_twin, inbox):
        with flat_twin.http.stream("GET", "/changes", params={"topic": f"hooks/{inbox}"}) as stream:
            lines = stream.iter_lines()
            assert next(lines) == ": open"
            deliver(flat_twin, inbox)

            assert "event: changed" in (next(lines), next(lines))

    def test_the_index_shows_calls_pictures_and_inboxes(self, twin, key, inbox):
        with twin.openai(key) as client:
            client.images.generate(model="gpt-image-2", prompt=f"meadow {key}", size="256x256")
        deliver(twin, inbox)

        index = twin.http.get("/").text
        assert f"meadow {key}" in index
        assert inbox in index
        picture = index.split('src="/pictures/')[1].split('"')[0]
        assert twin.http.get(f"/pictures/{picture}").headers["content-type"] == "image/png"
        assert twin.http.get("/pictures/unknown").status_code == 404
