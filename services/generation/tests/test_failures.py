"""Each way a provider can fail, against the twin: its class, its retries, its price, its fallback."""

import asyncio
import contextlib
import gzip

import pytest
from pydantic import ValidationError
from sqlalchemy import select, text

from generation.errors import Again, ProviderError
from generation.models import attempts
from generation.openai_images import ImageAnswer, ImageOrder, OpenAIImages
from generation.settings import GenerationSettings
from kit import invariants
from kit.service import Service
from kit.tables import outbox
from shared.events import JobFailed, JobSucceeded

from .conftest import Twin, running
from .journey import Journey, artifacts, ending, tell


async def fail(working: Service, prompt: str) -> JobFailed:
    job = Journey(prompt=prompt)
    await tell(working, job.requested(), job.held())
    end = await ending(working)
    assert isinstance(end, JobFailed)
    assert await invariants.check(working.db, working.all_invariants) == []
    return end


async def answered(status: str, headers: dict[str, str], body: bytes) -> ImageAnswer:
    """What becomes of one call to a provider that answers so."""
    told = {**headers, "Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
        with contextlib.suppress(ConnectionError):  # whoever has read enough leaves
            await writer.drain()
        writer.close()

    order = ImageOrder(model="gpt-image-2", prompt="a lamp", size="1024x1024", quality="low", key="1")
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        images = OpenAIImages(api_key="sk", base_url=f"http://{host}:{port}", timeout_seconds=5, connections=1)
        try:
            return await images.make(order, seconds=5)
        finally:
            await images.close()


class TestRefusedByTheProvider:
    @pytest.mark.parametrize(
        ("fault", "failure"),
        [
            ("moderation", "input_moderated"),
            ("moderation:output", "output_moderated"),
            ("quota", "provider_rejected"),
            ("odd-message", "provider_rejected"),
        ],
    )
    async def test_the_item_fails_with_its_class_and_is_not_tried_again(
        self, working: Service, twin: Twin, api_key: str, fault: str, failure: str
    ) -> None:
        end = await fail(working, f"[[twin:{fault}]] a lamp")

        assert end.failure == failure
        assert (end.items[0].price, end.items[0].loss) == (0, 0)
        assert await twin.calls(api_key) == 1

    async def test_a_refused_prompt_gets_no_fallback(self, working: Service) -> None:
        job = Journey(prompt="[[twin:moderation]] a lamp", fallback="gradient")
        await tell(working, job.requested(), job.held())

        assert isinstance(await ending(working), JobFailed)


class TestWhatCustomersAreTold:
    @pytest.mark.parametrize("fault", ["moderation", "quota", "500", "garbage"])
    async def test_it_is_a_sentence_of_ours_with_the_request_id_and_no_word_of_the_provider(
        self, working: Service, fault: str
    ) -> None:
        end = await fail(working, f"[[twin:{fault}]] a lamp")
        async with working.db.read() as session:
            calls = (await session.execute(select(attempts).order_by(attempts.c.number))).all()
            told = await session.execute(select(outbox.c.value))
            spoken = b"".join(told.scalars()).decode()

        assert calls[-1].provider_request_id in (end.items[0].detail or "")
        assert end.detail == end.items[0].detail == end.attempts[-1].detail
        assert all(call.detail and call.detail not in spoken for call in calls)

    async def test_a_fallback_says_why_it_is_one(self, working: Service) -> None:
        job = Journey(prompt="[[twin:500]] a lamp", fallback="gradient")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))
        [item] = (await ending(working)).items

        assert item.fallback
        assert (item.detail or "").startswith("The provider of the model could not make it")


class TestRefusedKey:
    @pytest.fixture
    def api_key(self) -> str:
        return "sk-invalid-key-of-a-test"

    async def test_the_item_is_rejected_and_the_model_rests(self, working: Service) -> None:
        end = await fail(working, "a lamp")

        assert end.failure == "provider_rejected"
        later = Journey()
        await tell(working, later.requested(), later.held())
        async with working.db.read() as session:
            from generation.model_health import paused

            assert (await paused(session))["gpt-image-2"].failure == "provider_rejected"


class TestFaultsOfTheProvider:
    @pytest.mark.parametrize("fault", ["500", "502", "503", "garbage", "wrong-content", "wrong-size", "padded:12"])
    async def test_three_calls_are_made_and_then_the_item_fails(
        self, working: Service, twin: Twin, api_key: str, fault: str
    ) -> None:
        end = await fail(working, f"[[twin:{fault}]] a lamp")

        assert end.failure == "provider_fault"
        assert [attempt.outcome for attempt in end.attempts] == ["retryable", "retryable", "failed"]
        assert await twin.calls(api_key) == 3

    async def test_a_call_that_succeeds_at_last_delivers(self, working: Service) -> None:
        job = Journey(prompt="[[twin:500 x2]] a lamp")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))
        end = await ending(working)

        assert isinstance(end, JobSucceeded)
        assert [attempt.outcome for attempt in end.attempts] == ["retryable", "retryable", "succeeded"]
        assert end.items[0].price == 4000


class TestOddUsage:
    @pytest.mark.parametrize("kind", ["empty", "null", "float", "negative", "huge", "number"])
    async def test_a_good_picture_is_delivered_at_list_price_whatever_counts_come_with_it(
        self, working: Service, twin: Twin, api_key: str, kind: str
    ) -> None:
        job = Journey(prompt=f"[[twin:odd-usage:{kind}]] a lamp")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))
        end = await ending(working)

        assert isinstance(end, JobSucceeded)
        assert [(attempt.outcome, attempt.cost_usd) for attempt in end.attempts] == [("succeeded", "0.031700")]
        assert await twin.paid(api_key) == 1


class TestUnreachableProvider:
    @pytest.fixture
    def settings(self, settings: dict) -> dict:
        return settings | {"openai_base_url": "http://127.0.0.1:9/v1"}

    async def test_a_call_that_was_never_sent_is_repeated_and_no_loss(self, working: Service) -> None:
        end = await fail(working, "a lamp")

        assert end.failure == "provider_fault"
        assert len(end.attempts) == 3
        assert end.items[0].loss == 0

    async def test_the_fallback_is_marked_free_and_of_the_right_size(self, working: Service) -> None:
        job = Journey(fallback="gradient", size="1024x1792")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))
        end = await ending(working)

        assert (made.fallback, made.width, made.height) == (True, 1024, 1792)
        assert made.recipe["model"] == "gradient"
        assert isinstance(end, JobSucceeded)
        assert (end.items[0].price, end.items[0].fallback) == (0, True)


class TestUnknownOutcome:
    @pytest.fixture
    def settings(self, settings: dict) -> dict:
        return settings | {"provider_timeout": 1}

    @pytest.mark.parametrize("fault", ["drop", "truncated", "drop-after-success", "timeout-after-success"])
    async def test_the_call_is_never_repeated_and_the_platform_bears_it(
        self, working: Service, twin: Twin, api_key: str, fault: str
    ) -> None:
        end = await fail(working, f"[[twin:{fault}]] a lamp")

        assert end.failure == "outcome_unknown"
        assert (end.items[0].price, end.items[0].loss) == (0, 4000)
        assert [attempt.outcome for attempt in end.attempts] == ["unknown"]
        assert await twin.calls(api_key) <= 1

    async def test_it_gets_no_fallback(self, working: Service) -> None:
        job = Journey(prompt="[[twin:drop]] a lamp", fallback="gradient")
        await tell(working, job.requested(), job.held())

        assert (await ending(working)).items[0].failure == "outcome_unknown"


class TestRateLimit:
    async def test_patience_is_not_an_attempt(self, working: Service, twin: Twin, api_key: str) -> None:
        job = Journey(prompt="[[twin:429:1 x2]] [[twin:500 x2]] a lamp")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))

        assert isinstance(await ending(working), JobSucceeded)
        assert await twin.calls(api_key) == 5

    async def test_it_pauses_the_model_for_every_item(self, working: Service, twin: Twin, api_key: str) -> None:
        limited, other = Journey(prompt="[[twin:429:60]] a lamp", seconds=30), Journey(seconds=30)
        await tell(working, limited.requested(), limited.held())
        first = await ending(working, limited.job_id)
        await tell(working, other.requested(), other.held())
        second = await ending(working, other.job_id)

        assert [first.items[0].failure, second.items[0].failure] == ["rate_limited", "rate_limited"]
        assert await twin.calls(api_key) == 1

    async def test_an_item_with_a_fallback_does_not_wait_longer_than_its_patience(self, working: Service) -> None:
        job = Journey(prompt="[[twin:429:60]] a lamp", fallback="gradient")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)

        assert made.fallback


class TestPatience:
    async def test_time_spent_in_the_queue_is_not_patience(self, generation: Service) -> None:
        job = Journey(prompt="[[twin:429:1 x1]] a lamp", fallback="gradient")
        await tell(generation, job.requested(), job.held())
        async with generation.db.write() as session:
            await session.execute(text("UPDATE steps SET created_at = now() - interval '5 minutes'"))
        async with running(generation):
            [made] = await artifacts(generation)

        assert not made.fallback


class TestPatienceOfTwoSeconds:
    @pytest.fixture
    def settings(self, settings: dict) -> dict:
        return settings | {"patience": 2}

    async def test_one_pause_after_another_uses_it_up(self, working: Service, twin: Twin, api_key: str) -> None:
        job = Journey(prompt="[[twin:429:1]] a lamp", fallback="gradient")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)

        assert made.fallback
        assert await twin.calls(api_key) >= 2


class TestAnswersThatNobodyForesaw:
    """Of a server that is none of ours: an answer has come, so its outcome is known."""

    @pytest.mark.parametrize(
        ("wish", "seconds"),
        [
            ("2", 2.0),
            ("-3", 1.0),
            ("1e9", 3600.0),
            ("soon", 5.0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0),
            ("Fri, 31 Dec 99999 23:59:59 GMT", 5.0),
        ],
    )
    async def test_a_wish_for_patience_is_followed_within_bounds(self, wish: str, seconds: float) -> None:
        with pytest.raises(ProviderError) as raised:
            await answered("429 Too Many Requests", {"Retry-After": wish}, b"{}")

        assert raised.value.failure == "rate_limited"
        assert raised.value.pause_seconds == seconds

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"data": 7}'])
    async def test_a_body_that_cannot_be_read_is_a_fault(self, body: bytes) -> None:
        with pytest.raises(ProviderError) as raised:
            await answered("200 OK", {}, body)

        assert (raised.value.failure, raised.value.again) == ("provider_fault", Again.COUNTED)

    @pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
    @pytest.mark.parametrize("encoding", ["identity", "gzip"])
    async def test_a_body_without_end_is_not_read_to_its_end(self, status: str, encoding: str) -> None:
        body = bytes(64 * 1024 * 1024)
        with pytest.raises(ProviderError, match="more than 40 MiB") as raised:
            await answered(status, {"Content-Encoding": encoding}, gzip.compress(body) if encoding == "gzip" else body)

        assert (raised.value.failure, raised.value.again) == ("provider_fault", Again.COUNTED)


class TestSettings:
    @pytest.mark.parametrize("model", ["gpt-image-1.5", "gpt-image-99"])
    async def test_a_model_that_cannot_make_all_sizes_is_refused_with_those_that_can(
        self, generation: Service, model: str
    ) -> None:
        values = dict(generation.settings) | {"openai_image_model": model}
        with pytest.raises(ValidationError, match=r"take one of gpt-image-2, gpt-image-2\.5-sunburst"):
            GenerationSettings(**values)

    async def test_a_lease_shorter_than_a_call_is_refused(self, generation: Service) -> None:
        values = dict(generation.settings) | {"step_lease": 40, "provider_timeout": 20}
        with pytest.raises(ValidationError, match="paid results are lost"):
            GenerationSettings(**values)
