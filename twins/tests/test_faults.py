import base64
import io
import json
import time

import openai
import pytest
from PIL import Image

MODEL = "gpt-image-2"


def ask(client, prompt, **options):
    return client.images.generate(model=MODEL, prompt=prompt, **options)


def raw(twin, key, prompt):
    return twin.http.post(
        "/openai/v1/images/generations",
        json={"model": MODEL, "prompt": prompt},
        headers={"Authorization": f"Bearer {key}"},
    )


def last_call(twin, key):
    return twin.calls(key)["calls"][0]


class TestRefusals:
    @pytest.mark.parametrize(
        ("action", "error", "code", "retry_after"),
        [
            ("429", openai.RateLimitError, "rate_limit_exceeded", "1"),
            ("429:7", openai.RateLimitError, "rate_limit_exceeded", "7"),
            ("quota", openai.RateLimitError, "insufficient_quota", None),
            ("500", openai.InternalServerError, None, None),
            ("502", openai.InternalServerError, None, None),
            ("503:3", openai.InternalServerError, None, "3"),
            ("moderation", openai.BadRequestError, "moderation_blocked", None),
            ("moderation:output", openai.BadRequestError, "moderation_blocked", None),
            ("odd-message", openai.BadRequestError, "invalid_value", None),
        ],
    )
    def test_reach_the_sdk_as_its_errors_and_are_not_paid(
        self, flat_twin, flat_client, key, action, error, code, retry_after
    ):
        with pytest.raises(error) as refusal:
            ask(flat_client, f"[[twin:{action}]] a boat")

        assert refusal.value.code == code
        assert refusal.value.response.headers.get("retry-after") == retry_after
        assert refusal.value.request_id == last_call(flat_twin, key)["request_id"]
        assert flat_twin.calls(key)["matching"] == {"calls": 1, "paid": 0, "images": 0}

    def test_an_odd_message_is_no_text(self, flat_client):
        with pytest.raises(openai.BadRequestError) as refusal:
            ask(flat_client, "[[twin:odd-message]] a boat")

        assert {"\x00", "\ud83d"} <= set(refusal.value.body["message"])

    def test_a_dropped_connection_is_not_paid(self, flat_twin, flat_client, key):
        with pytest.raises(openai.APIConnectionError):
            ask(flat_client, "[[twin:drop]] a boat")

        assert (last_call(flat_twin, key)["status"], last_call(flat_twin, key)["paid"]) == (None, False)

    def test_a_timeout_is_not_paid(self, flat_twin, key):
        with flat_twin.openai(key, timeout=2) as client, pytest.raises(openai.APITimeoutError):
            ask(client, "[[twin:timeout]] a boat")

        assert last_call(flat_twin, key)["paid"] is False


class TestPaidButNotDelivered:
    def test_a_timeout_after_success_is_paid(self, flat_twin, key):
        with flat_twin.openai(key, timeout=2) as client, pytest.raises(openai.APITimeoutError):
            ask(client, "[[twin:timeout-after-success]] a boat", n=2)

        assert flat_twin.calls(key)["matching"] == {"calls": 1, "paid": 1, "images": 2}

    def test_a_drop_after_success_is_paid(self, flat_twin, flat_client, key):
        with pytest.raises(openai.APIConnectionError):
            ask(flat_client, "[[twin:drop-after-success]] a boat")

        assert last_call(flat_twin, key)["paid"] is True

    def test_a_truncated_answer_breaks_off(self, flat_twin, flat_client, key):
        with pytest.raises(openai.APIConnectionError):
            ask(flat_client, "[[twin:truncated]] a boat")

        assert last_call(flat_twin, key)["paid"] is True


class TestWrongAnswers:
    def test_garbage_is_not_json(self, flat_twin, key):
        answer = raw(flat_twin, key, "[[twin:garbage]] a boat")

        assert answer.status_code == 200
        with pytest.raises(ValueError, match=r"codec|Expecting|delimiter"):
            json.loads(answer.content)

    def test_wrong_content_is_not_an_image(self, flat_client):
        content = base64.b64decode(ask(flat_client, "[[twin:wrong-content]] a boat").data[0].b64_json)

        with pytest.raises(OSError, match="cannot identify"):
            Image.open(io.BytesIO(content))

    @pytest.mark.parametrize(("action", "size"), [("wrong-size", (512, 512)), ("wrong-size:64x48", (64, 48))])
    def test_wrong_size_is_announced_as_the_right_one(self, flat_client, action, size):
        answer = ask(flat_client, f"[[twin:{action}]] a boat", size="1024x1024")

        assert answer.size == "1024x1024"
        assert Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))).size == size

    @pytest.mark.parametrize(
        ("kind", "counts"),
        [
            ("", {}),
            (":empty", {}),
            (":null", {"input_tokens": None, "output_tokens": None}),
            (":float", {"input_tokens": 8.5}),
            (":negative", {"output_tokens": -4160}),
            (":huge", {"output_tokens": 2**64 - 1}),
        ],
    )
    def test_odd_usage_comes_with_a_good_picture(self, flat_twin, key, kind, counts):
        answer = raw(flat_twin, key, f"[[twin:odd-usage{kind}]] a boat").json()

        assert Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"]))).size == (1024, 1024)
        assert {name: answer["usage"][name] for name in counts} == counts
        assert last_call(flat_twin, key)["paid"] is True

    def test_padded_has_zeros_behind_its_end(self, flat_client):
        content = base64.b64decode(ask(flat_client, "[[twin:padded:2]] a boat").data[0].b64_json)

        assert Image.open(io.BytesIO(content)).size == (1024, 1024)
        assert content.endswith(bytes(2 * 1024 * 1024))

    def test_odd_usage_may_be_a_bare_number(self, flat_twin, key):
        assert isinstance(raw(flat_twin, key, "[[twin:odd-usage:number]] a boat").json()["usage"], int)

    def test_a_delay_only_delays(self, flat_twin, flat_client, key):
        started = time.monotonic()

        assert ask(flat_client, "[[twin:delay:200]] a boat").data

        assert time.monotonic() - started >= 0.2
        assert last_call(flat_twin, key)["paid"] is True

    def test_flat_is_small_and_different_for_every_prompt(self, twin, key):
        with twin.openai(key) as client:
            first, second = (ask(client, f"[[twin:flat]] {prompt}").data[0].b64_json for prompt in ("one", "two"))

        assert first != second
        assert len(first) < 2_000


class TestDirectives:
    def statuses(self, twin, key, prompt, count):
        return [raw(twin, key, prompt).status_code for _ in range(count)]

    def test_follow_each_other(self, flat_twin, key):
        prompt = "[[twin:429 x2]][[twin:500 x1]] a boat"

        assert self.statuses(flat_twin, key, prompt, 5) == [429, 429, 500, 200, 200]

    def test_without_a_number_never_end(self, flat_twin, key):
        assert self.statuses(flat_twin, key, "[[twin:503]] a boat", 3) == [503, 503, 503]

    def test_count_per_key_and_prompt(self, flat_twin, key):
        assert self.statuses(flat_twin, key, "[[twin:429 x1]] a boat", 2) == [429, 200]
        assert self.statuses(flat_twin, f"{key}-other", "[[twin:429 x1]] a boat", 2) == [429, 200]
        assert self.statuses(flat_twin, key, "[[twin:429 x1]] a ship", 2) == [429, 200]

    @pytest.mark.parametrize("text", ["eat-my-shorts", "429:soon", "delay", "wrong-size:9", "", "429x2"])
    def test_that_make_no_sense_are_refused_loudly(self, flat_twin, key, text):
        answer = raw(flat_twin, key, f"[[twin:{text}]] a boat")

        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "unknown_twin_fault"


class TestRules:
    @pytest.fixture
    def rule(self, flat_twin):
        added = []

        def add(**rule):
            answer = flat_twin.http.post("/control/faults", json=rule)
            answer.raise_for_status()
            added.append(answer.json()["id"])
            return answer.json()

        yield add
        for rule_id in added:
            flat_twin.http.delete(f"/control/faults/{rule_id}")

    def statuses(self, twin, key, prompt, count):
        return [raw(twin, key, prompt).status_code for _ in range(count)]

    def test_hit_the_next_calls_of_one_key_only(self, flat_twin, key, rule):
        rule(action="500", api_key=key, times=2)

        assert self.statuses(flat_twin, f"{key}-other", "a boat", 1) == [200]
        assert self.statuses(flat_twin, key, "a boat", 3) == [500, 500, 200]

    def test_match_a_part_of_the_prompt(self, flat_twin, key, rule):
        rule(action="429:1", prompt_contains=key, times=None)

        assert self.statuses(flat_twin, key, f"a boat {key}", 2) == [429, 429]
        assert self.statuses(flat_twin, key, "a boat", 1) == [200]

    def test_let_the_first_calls_pass(self, flat_twin, key, rule):
        rule(action="503", api_key=key, skip=2)

        assert self.statuses(flat_twin, key, "a boat", 4) == [200, 200, 503, 200]

    def test_of_an_unknown_action_are_refused(self, flat_twin):
        answer = flat_twin.http.post("/control/faults", json={"action": "explode"})

        assert answer.status_code == 422

    def test_can_be_replaced_listed_and_cleared(self, restartable_twin):
        http = restartable_twin.http
        http.put("/control/faults", json=[{"action": "500"}, {"action": "drop", "times": None}]).raise_for_status()

        assert [rule["action"] for rule in http.get("/control/faults").json()] == ["500", "drop"]
        assert http.delete("/control/faults").status_code == 204
        assert http.get("/control/faults").json() == []
        assert http.delete("/control/faults/rule_unknown").status_code == 404
