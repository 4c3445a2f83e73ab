"""Pages of jobs of which gateway has lost a part: what was asked for, by a restore, or the journal, by its age."""

import re
from html import unescape

import pytest

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
