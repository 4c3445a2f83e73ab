"""What the page is made of: static files that may be kept for ever, under a policy without exceptions."""

import re
from typing import Any

import pytest


class TestStaticFiles:
    async def test_every_file_that_a_page_names_is_there_and_may_be_kept_for_ever(self, browser, account, ask):
        job_id = await ask()
        pages = [(await browser.get(path)).text for path in ("/", "/jobs", f"/jobs/{job_id}", "/nothing")]
        named = {url for page in pages for url in re.findall(r'(?:src|href)="(/static/[^"]+)"', page)}

        assert len(named) > 10
        for url in named:
            answer = await browser.get(url)
            assert answer.status_code == 200, url
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"

    async def test_modules_and_styles_name_only_files_of_the_bundle(self, browser):
        page = (await browser.get("/")).text
        folder = re.search(r'"(/static/\w+/)', page)[1]
        waiting, seen = {"studio.js", "job.js", "all-jobs.js", "base.css"}, set()
        while waiting - seen:
            name = (waiting - seen).pop()
            seen.add(name)
            answer = await browser.get(folder + name)
            assert answer.status_code == 200, name
            if name.endswith((".js", ".css")):
                waiting |= set(re.findall(r'(?:from|import|url\() ?"(?:\./)?([\w/.-]+)"', answer.text))

        assert {"wording.js", "fonts/bricolage.woff2"} <= seen

    async def test_text_travels_packed(self, browser):
        page = (await browser.get("/")).text
        styles = re.search(r'"(/static/\w+/base.css)"', page)[1]

        packed = await browser.get(styles, headers={"Accept-Encoding": "gzip"})
        plain = await browser.get(styles, headers={"Accept-Encoding": "identity"})

        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert packed.text == plain.text

    async def test_the_name_of_another_version_is_not_kept(self, browser):
        answer = await browser.get("/static/000000000000/base.css")

        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-cache"

    @pytest.mark.parametrize("name", ["missing.css", "%2e%2e/routes.py", "fonts", "fonts/"])
    async def test_nothing_else_can_be_had(self, browser, name):
        assert (await browser.get(f"/static/x/{name}")).status_code == 404


class TestPolicy:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"media_url": "https://media.example"}

    async def test_a_page_may_load_its_own_files_and_its_pictures_only(self, browser, account, ask):
        job_id = await ask()

        for path in ("/", "/jobs", f"/jobs/{job_id}", "/nothing"):
            page = await browser.get(path)
            policy = dict(rule.split(" ", 1) for rule in page.headers["Content-Security-Policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert policy["img-src"] == "'self' https://media.example"
            assert page.headers["Cache-Control"] == "no-store"

    async def test_nothing_on_a_page_needs_an_exception_to_it(self, browser, account, ask):
        job_id = await ask()
        pages = [(await browser.get(path)).text for path in ("/", "/jobs", f"/jobs/{job_id}", "/nothing")]
        browser.cookies.clear()
        pages.append((await browser.get("/")).text)

        for page in pages:
            assert " style=" not in page
            assert "<style" not in page
            assert not re.search(r"\son\w+=", page)
            scripts = re.findall(r"<script\b([^>]*)>", page)
            assert all("src=" in script or "application/json" in script for script in scripts)
