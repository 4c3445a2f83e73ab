"""The page, as a browser asks for it: coming in, the studio, the list and the story of jobs, errors."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from gateway.keys import create_key
from gateway.schemas import EventView
from gateway.sessions import COOKIE, create_ticket
from gateway.web import story
from kit import testing
from kit.service import Service
from shared.ids import new_id, uuid7

from .conftest import LIFETIME


async def ticket_for(gateway: Service, account_id: str) -> str:
    async with gateway.db.write() as session:
        return await create_ticket(session, account_id=account_id, lifetime=LIFETIME)


async def finish(gateway: Service, make: Any, account_id: str, job_id: str) -> None:
    """All that the other services tell of a job, each event caused by the one before."""
    cause = None
    for event in make.journey(account_id, job_id):
        stamped = event.stamp(causation_id=cause)
        cause = stamped.envelope.id
        await gateway.edge.handle(testing.records(stamped))


def text_of(page: httpx2.Response) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def event_of(seq: int, service: str, event_id: str, *, at: datetime, cause: str | None = None) -> EventView:
    wire_type = f"atelier.{service}.something-new.v1"
    return EventView(seq=seq, id=event_id, type=wire_type, service=service, time=at, causation_id=cause, data={})


class TestComingIn:
    async def test_says_what_atelier_is_to_somebody_who_is_not_signed_in(self, browser):
        page = await browser.get("/")

        assert page.status_code == 200
        assert "Ask for a picture" in text_of(page)
        assert 'name="api_key"' in page.text

    async def test_an_api_key_becomes_a_session(self, browser, open_account):
        _, key = await open_account()

        answer = await browser.post("/enter", data={"api_key": f" {key} "})

        assert answer.status_code == 303
        assert answer.headers["Location"] == "/"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "What shall we make?" in text_of(await browser.get("/"))

    async def test_an_unknown_key_is_told_in_words(self, browser):
        answer = await browser.post("/enter", data={"api_key": "atl_nonsense"})

        assert answer.status_code == 401
        assert "unknown, expired or revoked" in text_of(answer)
        assert COOKIE not in browser.cookies

    async def test_a_key_that_may_only_read_does_not_become_a_session_that_may_write(
        self, gateway, browser, open_account
    ):
        account_id, _ = await open_account()
        async with gateway.db.write() as session:
            key = await create_key(session, account_id=account_id, name="reader", scopes=["read"])

        answer = await browser.post("/enter", data={"api_key": key.secret})

        assert answer.status_code == 403
        assert COOKIE not in browser.cookies

    @pytest.mark.parametrize("origin", ["https://elsewhere.example", "http://["])
    async def test_another_site_cannot_sign_a_browser_in(self, browser, open_account, origin):
        _, key = await open_account()

        answer = await browser.post("/enter", data={"api_key": key}, headers={"Origin": origin})

        assert answer.status_code == 403
        assert COOKIE not in browser.cookies

    async def test_a_link_signs_in_once(self, gateway, browser, open_account):
        account_id, _ = await open_account()
        ticket = await ticket_for(gateway, account_id)

        first = await browser.get(f"/enter/{ticket}")
        browser.cookies.clear()
        second = await browser.get(f"/enter/{ticket}")

        assert first.status_code == 303
        assert first.headers["Location"] == "/"
        assert second.status_code == 410
        assert "used already" in text_of(second)
        assert COOKIE not in browser.cookies

    async def test_a_link_followed_from_another_site_starts_a_navigation_of_our_own(
        self, gateway, browser, open_account
    ):
        """A browser does not send a strict cookie along a redirect that another site began."""
        account_id, _ = await open_account()
        ticket = await ticket_for(gateway, account_id)

        answer = await browser.get(f"/enter/{ticket}", headers={"Sec-Fetch-Site": "cross-site"})

        assert answer.status_code == 200
        assert '<meta http-equiv="refresh" content="0;url=/">' in answer.text
        assert COOKIE in browser.cookies

    async def test_goes_on_to_the_job_that_was_asked_for(self, browser, open_account):
        _, key = await open_account()
        path = f"/jobs/{new_id('job')}"
        welcome = await browser.get(path)

        answer = await browser.post("/enter", data={"api_key": key, "next": path})

        assert f'name="next" value="{path}"' in welcome.text
        assert answer.headers["Location"] == path

    @pytest.mark.parametrize("elsewhere", ["//elsewhere.example", "https://elsewhere.example/", "/jobs/../enter"])
    async def test_never_goes_on_to_somebody_elses_site(self, browser, open_account, elsewhere):
        _, key = await open_account()

        answer = await browser.post("/enter", data={"api_key": key, "next": elsewhere})

        assert answer.headers["Location"] == "/"

    async def test_a_link_stands_in_no_log(self, gateway, browser, open_account):
        account_id, _ = await open_account()
        ticket = await ticket_for(gateway, account_id)

        with capture_logs() as lines:
            for _ in range(2):
                await browser.get(f"/enter/{ticket}")

        assert ticket not in repr(lines)

    async def test_signing_out_ends_the_session(self, browser, account):
        token = browser.cookies[COOKIE]

        await browser.post("/sign-out")
        browser.cookies.set(COOKIE, token)

        assert "Ask for a picture" in text_of(await browser.get("/"))
        assert (await browser.get("/v1/me")).status_code == 401

    async def test_another_site_cannot_sign_a_browser_out(self, browser, account):
        answer = await browser.post("/sign-out", headers={"Origin": "https://elsewhere.example"})

        assert answer.status_code == 403
        assert "What shall we make?" in text_of(await browser.get("/"))


class TestStudio:
    async def test_shows_what_can_be_spent(self, gateway, browser, account, make):
        await gateway.edge.handle(testing.records(make.granted(account, available=46_500).stamp()))

        page = await browser.get("/")

        assert "46.5 credits" in text_of(page)
        assert 'data-available="46500"' in page.text

    async def test_offers_what_the_contract_allows_at_the_price_of_the_book(self, browser, account):
        page = await browser.get("/")

        assert re.findall(r'name="size" value="(\w+)"', page.text) == ["1024x1024", "1792x1024", "1024x1792"]
        assert re.findall(r'name="n" value="(\d)"', page.text) == ["1", "2", "3", "4"]
        assert '"1024x1024": {"hd": 8000, "standard": 4000}' in page.text
        assert 'data-longest="1000"' in page.text

    async def test_lists_recent_jobs_newest_first_so_that_running_ones_can_be_followed(self, browser, account, ask):
        older, newer = await ask(), await ask(prompt="a fox")

        page = await browser.get("/")

        assert re.findall(r'data-job="(\w+)" data-status="(\w+)"', page.text) == [
            (newer, "queued"),
            (older, "queued"),
        ]

    async def test_shows_no_job_of_somebody_else(self, browser, account, ask, open_account):
        foreign = await ask()
        _, key = await open_account()

        await browser.post("/enter", data={"api_key": key})

        assert foreign not in (await browser.get("/")).text

    async def test_words_of_a_prompt_stay_words(self, browser, account, ask):
        prompt = "<script>alert('x')</script> \"quoted\" </title>"
        job_id = await ask(prompt=prompt)

        for path in ("/", "/jobs", f"/jobs/{job_id}"):
            page = await browser.get(path)
            assert "<script>alert" not in page.text
            assert prompt in unescape(page.text)


class TestAllJobs:
    @pytest.fixture(autouse=True)
    def short_pages(self, monkeypatch):
        monkeypatch.setattr("gateway.web.routes.LISTED_JOBS", 2)

    async def test_lists_every_job_page_by_page_newest_first(self, browser, account, ask):
        asked = [await ask(prompt=f"picture {number}") for number in range(5)]

        listed, path = [], "/jobs"
        while path:
            page = await browser.get(path)
            listed.append(re.findall(r'data-job="(\w+)"', page.text))
            older = re.search(r'href="(/jobs\?after=[^"]+)"', page.text)
            path = unescape(older[1]) if older else None

        assert listed == [[asked[4], asked[3]], [asked[2], asked[1]], [asked[0]]]
        assert "Newest jobs" in text_of(page)

    async def test_is_linked_from_the_studio(self, browser, account, ask):
        await ask()

        assert 'href="/jobs"' in (await browser.get("/")).text

    async def test_tells_what_a_job_cost(self, gateway, browser, account, ask, make):
        await ask()
        done = await ask(prompt="a fox")
        await finish(gateway, make, account, done)

        text = text_of(await browser.get("/jobs"))

        assert "a fox Done 4 credits" in text
        assert "a lighthouse Waiting 4 credits to hold" in text

    async def test_somebody_elses_jobs_are_not_among_them(self, browser, account, ask, open_account):
        foreign = await ask()
        _, key = await open_account()
        await browser.post("/enter", data={"api_key": key})

        page = await browser.get("/jobs")

        assert foreign not in page.text
        assert "Nothing has been asked for yet." in text_of(page)

    async def test_a_cursor_that_is_none_is_a_page_that_is_not_there(self, browser, account):
        page = await browser.get("/jobs", params={"after": "nonsense"})

        assert page.status_code == 422
        assert "This frame is empty" in text_of(page)

    async def test_who_is_not_signed_in_comes_back_to_it(self, browser, open_account):
        _, key = await open_account()
        welcome = await browser.get("/jobs")

        answer = await browser.post("/enter", data={"api_key": key, "next": "/jobs"})

        assert 'name="next" value="/jobs"' in welcome.text
        assert answer.headers["Location"] == "/jobs"


class TestStory:
    async def test_tells_the_chain_of_events_with_their_causes(self, gateway, browser, account, ask, make):
        job_id = await ask()
        await finish(gateway, make, account, job_id)

        page = await browser.get(f"/jobs/{job_id}")

        titles = re.findall(r"<h3>([^<]+?) <span class=\"moment__service\">(\w+)", page.text)
        assert titles == [
            ("Request accepted", "gateway"),
            ("Credits held", "billing"),
            ("Picture made", "generation"),
            ("Picture kept", "storage"),
            ("Job done", "generation"),
            ("Settled", "billing"),
        ]
        assert "4 credits paid, 0 given back. Because of job done ." in text_of(page)

    async def test_shows_money_that_sums_to_zero_and_what_the_model_cost(self, gateway, browser, account, ask, make):
        job_id = await ask()
        await finish(gateway, make, account, job_id)

        text = text_of(await browser.get(f"/jobs/{job_id}"))

        assert "Hold customer.available \N{MINUS SIGN}4 customer.held +4 Sum 0" in text
        assert "Settlement customer.held \N{MINUS SIGN}4 platform.earned +4 Sum 0" in text
        assert "4 credits held, 4 paid, 0 given back." in text
        assert "gpt-image-2" in text
        assert "$0.04" in text

    async def test_waits_for_more_until_the_job_is_settled(self, gateway, browser, account, ask, make):
        job_id = await ask()
        running = await browser.get(f"/jobs/{job_id}")
        await finish(gateway, make, account, job_id)
        finished = await browser.get(f"/jobs/{job_id}")

        assert 'data-more="yes"' in running.text
        assert 'id="cancel"' in running.text
        assert 'data-more="no"' in finished.text
        assert 'id="cancel"' not in finished.text

    async def test_says_why_there_is_no_picture(self, gateway, browser, account, ask, make):
        job_id = await ask()
        events = [make.credits_refused(account, job_id).stamp(), make.refused(account, job_id).stamp()]
        await gateway.edge.handle(testing.records(*events))

        text = text_of(await browser.get(f"/jobs/{job_id}"))

        assert "4 credits needed, 0.001 available." in text
        assert "No credits moved." in text

    async def test_the_job_of_somebody_else_is_a_page_that_is_not_there(self, browser, account, ask, open_account):
        job_id = await ask()
        _, key = await open_account()
        await browser.post("/enter", data={"api_key": key})

        page = await browser.get(f"/jobs/{job_id}")

        assert page.status_code == 404
        assert "This frame is empty" in text_of(page)
        assert "a lighthouse" not in page.text

    def test_no_effect_is_told_before_its_cause(self):
        start = datetime(2026, 11, 21, tzinfo=UTC)
        asked, held, made = (str(uuid7()) for _ in range(3))
        clocks_differ = [
            event_of(1, "gateway", asked, at=start + timedelta(seconds=9)),
            event_of(2, "generation", made, at=start, cause=held),
            event_of(3, "billing", held, at=start + timedelta(seconds=1), cause=asked),
        ]

        assert [event.id for event in story._by_cause(clocks_differ)] == [asked, held, made]


class TestErrors:
    async def test_a_person_gets_a_page(self, browser):
        page = await browser.get("/nothing/here")

        assert page.status_code == 404
        assert page.headers["Content-Type"].startswith("text/html")
        assert page.headers["X-Request-Id"] in page.text

    async def test_a_program_gets_a_problem(self, http):
        answer = await http.get("/nothing/here", headers={"Accept": "application/json"})

        assert answer.json()["code"] == "not_found"

    async def test_the_api_answers_browsers_with_problems_too(self, browser):
        answer = await browser.get("/v1/me")

        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"
