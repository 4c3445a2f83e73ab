"""A person on the page: signs in by a link, asks for a picture and sees it appear."""

import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

import gateway.sessions

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: THE PAGE WAS NOT TESTED IN A BROWSER (install `chromium`)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield await browser.new_page(viewport={"width": 1280, "height": 900})
        await browser.close()


@pytest.mark.browser
class TestPage:
    async def test_a_picture_is_asked_for_and_appears(self, system, customer, page: Page, tmp_path: Path) -> None:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        async with system.database("gateway") as db, db.write() as session:
            ticket = await gateway.sessions.create_ticket(
                session, account_id=customer.account_id, lifetime=timedelta(minutes=5)
            )

        await page.goto(f"{system.url}/enter/{ticket}")
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

    async def test_a_link_works_once(self, system, customer, page: Page) -> None:
        async with system.database("gateway") as db, db.write() as session:
            ticket = await gateway.sessions.create_ticket(
                session, account_id=customer.account_id, lifetime=timedelta(minutes=5)
            )
        await page.goto(f"{system.url}/enter/{ticket}")
        await page.locator("#prompt").wait_for()

        await page.context.clear_cookies()
        await page.goto(f"{system.url}/enter/{ticket}")

        assert await page.locator("#prompt").count() == 0
