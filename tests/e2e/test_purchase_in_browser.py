"""A person buys credits on the page: a pack, a plan, its renewal and its end, a refund, a dispute, a declined card.

Only the public edge and the payment provider's own pages are used; the provider is the twin, whose clock can be moved.
With ATELIER_PICTURES=<folder> the screenshots of ``docs/payments.md`` are written there.
"""

import os
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Page, expect

from kit.testing import eventually

pytestmark = pytest.mark.browser

GOOD_CARD, DECLINED_CARD, FAILS_LATER = "4242424242424242", "4000000000000002", "4000000000000341"
SOON_MS = 30_000


class Buyer:
    """A customer with a browser that stands on the page of credits."""

    def __init__(self, system: Any, customer: Any, page: Page, pictures: Path) -> None:
        self.system = system
        self.customer = customer
        self.page = page
        self._pictures = pictures

    async def enter(self) -> None:
        await self.page.goto(await self.system.sign_in_link(self.customer.account_id))
        await self.page.get_by_role("link", name="credits").click()
        await self.sees("Latest movements")

    async def chooses(self, offer: str) -> None:
        await self.page.locator(f"[data-name={offer}]").click()
        await self.page.wait_for_url("**/stripe/pay/**")

    async def pays(self, card: str) -> None:
        await self.page.fill("[name=email]", "ada@example.com")
        await self.page.fill("#number", card)
        await self.page.click("button[value=card]")

    async def buys(self, offer: str, *, card: str = GOOD_CARD) -> None:
        await self.chooses(offer)
        await self.pays(card)

    async def in_portal(self, button: str) -> None:
        """Press a button in the provider's portal and come back."""
        await self.page.get_by_role("button", name="Manage plan").click()
        await self.page.get_by_role("button", name=button).click()
        await self.picture("payments-portal")
        await self.page.get_by_role("link", name="Back to the shop").click()
        await self.page.wait_for_url("**/credits")

    async def sees(self, text: str | re.Pattern[str]) -> None:
        await expect(self.page.locator("main")).to_contain_text(text, timeout=SOON_MS)

    async def sees_balance(self, amount: int) -> None:
        """The balance, once billing has it and the page is read again."""
        expected = amount * 1_000
        assert await eventually(lambda: self._has(expected), timeout=SOON_MS / 1_000)
        await self.page.reload()
        shown = f"{amount:,}".replace("-", "\N{MINUS SIGN}")
        await expect(self.page.locator(".credits h1")).to_have_text(shown, timeout=SOON_MS)

    async def _has(self, expected: int) -> bool:
        return bool((await self.customer.credits())["available"] == expected)

    async def picture(self, name: str) -> None:
        await self.page.screenshot(path=self._pictures / f"{name}.png", full_page=True)


class Merchant:
    """What happens at the payment provider without the customer: its dashboard, its clock."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def control(self, method: str, path: str, **body: Any) -> Any:
        async with httpx2.AsyncClient(base_url=self._url, timeout=30, trust_env=False) as http:
            answer = await http.request(method, f"/control/stripe{path}", json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    async def days_pass(self, days: int) -> None:
        await self.control("POST", "/clock", days=days)

    async def press(self, page: Page, button: str) -> None:
        """Press a button beside the newest payment in the dashboard, in a tab of its own."""
        account = await self.control("GET", "/account")
        tab = await page.context.new_page()
        await tab.goto(f"{self._url}/stripe/dashboard/{account['id']}")
        await tab.get_by_role("button", name=button, exact=True).first.click()
        await tab.wait_for_load_state()
        await tab.close()


@pytest.fixture
async def buyer(system: Any, customer: Any, page: Page, tmp_path: Path) -> Buyer:
    buyer = Buyer(system, customer, page, Path(os.environ.get("ATELIER_PICTURES") or tmp_path))
    await buyer.enter()
    return buyer


@pytest.fixture
def merchant(system: Any) -> Merchant:
    return Merchant(system.twins)


class TestPurchase:
    async def test_a_pack_a_plan_its_renewal_its_end_and_a_refund(self, buyer: Buyer, merchant: Merchant) -> None:
        complaints: list[str] = []
        buyer.page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        buyer.page.on("pageerror", lambda error: complaints.append(str(error)))
        await buyer.sees_balance(60)  # 50 for registering, 10 for signing in

        await buyer.buys("pack_500")
        await buyer.sees("Thank you. 500 credits are yours.")
        await buyer.sees_balance(560)
        await merchant.press(buyer.page, "Refund")
        await buyer.sees_balance(60)
        await buyer.sees("Taken back after a refund or dispute")

        await buyer.chooses("basic")
        await buyer.picture("payments-checkout")
        await buyer.pays(GOOD_CARD)
        await buyer.sees("Thank you. Your plan has begun.")
        await buyer.sees(re.compile("Basic renews on"))
        await buyer.sees_balance(1_060)
        await buyer.picture("payments-credits")

        await merchant.days_pass(32)
        await buyer.sees_balance(2_060)
        subscription = await buyer.customer.get("/v1/subscription")
        assert (subscription["plan"], subscription["is_subscriber"]) == ("basic", True)

        await buyer.in_portal("Cancel the subscription")
        await buyer.sees(re.compile("Basic ends on"))
        await merchant.days_pass(32)
        assert await eventually(lambda: _has_status(buyer, "canceled"), timeout=SOON_MS / 1_000)
        await buyer.page.reload()
        await buyer.sees("None. Credits come as you buy them.")
        assert (await buyer.customer.get("/v1/subscription"))["is_subscriber"] is False
        await buyer.sees_balance(2_060)
        assert complaints == []
        assert await buyer.system.violations() == {}

    async def test_a_disputed_pack_that_is_spent_leaves_a_debt_that_the_next_pack_pays(
        self, buyer: Buyer, merchant: Merchant
    ) -> None:
        await buyer.buys("pack_500")
        await buyer.sees_balance(560)
        await buyer.system.grant(buyer.customer.account_id, -550)

        await merchant.press(buyer.page, "Dispute")
        await buyer.sees_balance(-490)
        await buyer.sees("refunded or disputed after its credits were spent")
        await buyer.picture("payments-debt")
        refused = await buyer.customer.post_job({"prompt": "a fox"})
        assert (refused.status_code, refused.json()["code"]) == (402, "balance_negative")

        await buyer.buys("pack_2000")
        await buyer.sees_balance(1_510)
        assert (await buyer.customer.post_job({"prompt": "a fox"})).status_code == 202

    async def test_a_declined_card_costs_nothing_and_another_one_pays(self, buyer: Buyer) -> None:
        await buyer.buys("pack_500", card=DECLINED_CARD)
        await expect(buyer.page.get_by_role("alert")).to_contain_text("declined")
        assert (await buyer.customer.credits())["available"] == 60_000

        await buyer.pays(GOOD_CARD)
        await buyer.sees("Thank you. 500 credits are yours.")
        await buyer.sees_balance(560)

    async def test_a_renewal_that_fails_is_told_and_another_card_mends_it(
        self, buyer: Buyer, merchant: Merchant
    ) -> None:
        await buyer.buys("pro", card=FAILS_LATER)
        await buyer.sees_balance(4_060)

        await merchant.days_pass(32)
        assert await eventually(lambda: _has_status(buyer, "past_due"), timeout=SOON_MS / 1_000)
        await buyer.page.reload()
        await buyer.sees("The last payment failed.")

        await buyer.page.get_by_role("button", name="Manage plan").click()
        await buyer.page.fill("[name=number]", GOOD_CARD)
        await buyer.page.get_by_role("button", name="Use this card").click()
        await buyer.page.get_by_role("button", name="Pay now").click()
        await buyer.page.get_by_role("link", name="Back to the shop").click()
        assert await eventually(lambda: _has_status(buyer, "active"), timeout=SOON_MS / 1_000)
        await buyer.sees_balance(8_060)


async def _has_status(buyer: Buyer, status: str) -> bool:
    return bool((await buyer.customer.get("/v1/subscription"))["status"] == status)
