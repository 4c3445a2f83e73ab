"""A person on the page: signs in by a link, asks for a picture and sees it appear."""

from pathlib import Path

import pytest
from playwright.async_api import Page


@pytest.mark.browser
class TestPage:
    async def test_a_picture_is_asked_for_and_appears(self, system, customer, page: Page, tmp_path: Path) -> None:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        link = await system.sign_in_link(customer.account_id)

        await page.goto(link)
        await page.fill("#prompt", "a fox in a misty forest")
        await page.click("#make")
        picture = page.locator(".frame[data-state=shown] img").first
        await picture.wait_for(timeout=60_000)
        width = await picture.evaluate("async image => { await image.decode(); return image.naturalWidth }")
        await page.screenshot(path=tmp_path / "page.png")

        assert width > 0
        assert len((await customer.get("/v1/assets"))["data"]) == 1
        (job,) = (await customer.get("/v1/jobs"))["data"]
        await customer.finished(job["id"])
        await page.goto(f"{system.url}/jobs/{job['id']}")
        await page.get_by_text("Credits held").first.wait_for(timeout=10_000)
        assert complaints == []

    async def test_a_page_opened_in_the_middle_of_a_job_shows_at_once_what_is_being_made(
        self, system, customer, page: Page
    ) -> None:
        job = await customer.ask("[[twin:delay:8000]] a lighthouse")
        async for event in customer.events(job["id"]):
            if event.data.get("phase") == "submitted":
                break

        await page.goto(await system.sign_in_link(customer.account_id))
        await page.locator(".frame[data-state=making]").wait_for(timeout=5_000)
        assert (await customer.job(job["id"]))["status"] == "running"
        await customer.finished(job["id"])

    async def test_a_link_works_once(self, system, customer, page: Page) -> None:
        link = await system.sign_in_link(customer.account_id)
        await page.goto(link)
        await page.locator("#prompt").wait_for()

        await page.context.clear_cookies()
        await page.goto(link)

        assert await page.locator("#prompt").count() == 0
