"""Pages of jobs of which gateway has lost a part: what was asked for, by a restore, or the journal, by its age."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from sqlalchemy import update

from gateway.models import job_events, jobs
from gateway.retention import KEEP_JOURNAL, RULES
from kit.retention import Retention
from kit.testing import records
from shared.ids import new_id

PATHS = ("/", "/jobs", "/jobs/{job_id}")


def text_of(page):
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


class TestKnownByEventsAlone:
    @pytest.fixture
    async def pages_of(self, gateway, browser, account, make):
        """Every page that shows a job, after some events of one that gateway has never accepted."""

        async def show(*chosen):
            job_id = new_id("job")
            journey = make.journey(account, job_id)
            await gateway.edge.handle(records(*(event for event in journey if type(event).__name__ in chosen)))
            return [await browser.get(path.format(job_id=job_id)) for path in PATHS]

        return show

    @pytest.mark.parametrize(
        "known", [("CreditsHeld",), ("CreditsHeld", "ArtifactProduced"), ("JobSucceeded", "CreditsSettled")]
    )
    async def test_is_shown_with_what_is_known(self, pages_of, known):
        pages = await pages_of(*known)

        assert [page.status_code for page in pages] == [200, 200, 200]
        assert all("unknown" in text_of(page) for page in pages)

    async def test_its_pictures_and_its_money_are_told(self, pages_of):
        *_, story = await pages_of("JobSucceeded", "CreditsSettled")

        assert len(re.findall(r'src="/v1/assets/ast_', story.text)) == 1
        assert "4 credits held, 4 paid, 0 given back." in text_of(story)


class TestOlderThanItsJournal:
    @pytest.fixture
    def age(self, gateway):
        """Makes every job old: its journal goes. The invariants are not told that it is only by appearance."""

        async def grow_old():
            journals = Retention(gateway.db, [rule for rule in RULES if rule.key.table is job_events])
            await journals.sweep(datetime.now(UTC) + KEEP_JOURNAL + timedelta(seconds=1))
            async with gateway.db.write() as session:
                await session.execute(update(jobs).values(created_at=jobs.c.created_at - KEEP_JOURNAL))

        return grow_old

    async def test_pictures_and_money_are_still_told(self, gateway, browser, account, ask, make, age):
        job_id = await ask(n=2)
        await gateway.edge.handle(records(*make.journey(account, job_id)))
        before = await browser.get(f"/jobs/{job_id}")
        await age()

        page = await browser.get(f"/jobs/{job_id}")

        pictures = [re.findall(r'src="(/v1/assets/ast_[^"]+)"', text) for text in (before.text, page.text)]
        assert pictures[0] == pictures[1] != []
        assert "4 credits held, 4 paid, 0 given back." in text_of(page)
        assert "No credits moved." not in text_of(page)
        assert "No model was called." not in text_of(page)
        assert text_of(page).count("kept for 90 days") == 2

    async def test_one_that_was_refused_says_so(self, gateway, browser, account, ask, make, age):
        job_id = await ask()
        await gateway.edge.handle(records(make.credits_refused(account, job_id), make.refused(account, job_id)))
        await age()

        text = text_of(await browser.get(f"/jobs/{job_id}"))

        assert "4 credits needed, 0.001 available." in text
        assert "No credits moved." in text
