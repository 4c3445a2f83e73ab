"""The pages a person opens: hosted checkout, customer portal, and a dashboard that plays the merchant and the bank."""

from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from twins.pages.render import page
from twins.state import State, Twins
from twins.stripe import checkout, form, portal, refunds
from twins.stripe.account import Account, Change, Object
from twins.stripe.cards import MEANS
from twins.stripe.errors import StripeError
from twins.stripe.params import RefundCreate

DEBIT_ACCOUNT = "AT611904300234573201"
CARDS = [means for means in MEANS.values() if means.kind == "card"]
SHOWN = 25
DAY = 24 * 3600

router = APIRouter(prefix="/stripe", tags=["pages"], include_in_schema=False)


@router.get("/pay/{session_id}")
async def show_checkout(twins: Twins, session_id: str) -> Response:
    return _checkout_page(twins, session_id)


@router.post("/pay/{session_id}")
async def pay(request: Request, twins: Twins, session_id: str) -> Response:
    fields = await _fields(request)
    email = fields.get("email", "")
    number = DEBIT_ACCOUNT if fields.get("method") == "sepa_debit" else fields.get("number", "")
    account = _owner(twins, session_id)
    try:
        with twins.stripe.change(account) as change:
            session = checkout.pay_session(change, session_id, number=number, email=email)
    except StripeError as error:
        return _checkout_page(twins, session_id, error=error.message, email=email, number=fields.get("number", ""))
    return RedirectResponse(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id), 303)


@router.get("/portal/{portal_id}")
async def show_portal(twins: Twins, portal_id: str) -> Response:
    return _portal_page(twins, portal_id)


@router.post("/portal/{portal_id}")
async def use_portal(request: Request, twins: Twins, portal_id: str) -> Response:
    fields = await _fields(request)
    try:
        with twins.stripe.change(_owner(twins, portal_id)) as change:
            customer = portal.portal_customer(change, portal_id)["id"]
            match fields.get("action"):
                case "cancel" | "keep" as wish:
                    portal.set_cancellation(change, customer, fields["subscription"], wished=wish == "cancel")
                case "card":
                    portal.change_card(change, customer, number=fields.get("number", ""))
                case "pay":
                    portal.pay_open_invoice(change, customer, fields["invoice"])
    except StripeError as error:
        return _portal_page(twins, portal_id, error=error.message)
    return RedirectResponse(request.url.path, 303)


@router.get("")
async def show_accounts(twins: Twins) -> HTMLResponse:
    return page("stripe_accounts.html", accounts=twins.stripe.all())


@router.get("/dashboard/{account_id}")
async def show_dashboard(twins: Twins, account_id: str) -> HTMLResponse:
    return _dashboard_page(_account(twins, account_id))


@router.post("/dashboard/{account_id}")
async def act(request: Request, twins: Twins, account_id: str) -> Response:
    account = _account(twins, account_id)
    fields = await _fields(request)
    action, target = fields.get("action", ""), fields.get("object", "")
    try:
        if action == "advance":
            twins.stripe.advance(account, int(target) * DAY)
        elif action in _ACTIONS:
            with twins.stripe.change(account) as change:
                _ACTIONS[action](change, target)
    except StripeError as error:
        return _dashboard_page(account, error=error.message)
    return RedirectResponse(request.url.path, 303)


_ACTIONS: dict[str, Callable[[Change, str], object]] = {
    "refund": lambda change, charge: refunds.create_refund(change, RefundCreate(charge=charge)),
    "dispute": lambda change, charge: refunds.open_dispute(change, charge, reason="fraudulent"),
    "won": lambda change, dispute: refunds.decide_dispute(change, dispute, outcome="won"),
    "lost": lambda change, dispute: refunds.decide_dispute(change, dispute, outcome="lost"),
    "settle": lambda change, intent: checkout.settle_payment(change, intent, succeeds=True),
    "fail": lambda change, intent: checkout.settle_payment(change, intent, succeeds=False),
    "resend": Change.resend,
}


def _checkout_page(
    twins: State, session_id: str, *, error: str | None = None, email: str = "", number: str = CARDS[0].spaced
) -> HTMLResponse:
    account = _owner(twins, session_id)
    with twins.stripe.change(account) as change:  # it may have expired since
        session = change.find("checkout.session", session_id)
    known = session["customer_details"]["email"] if session["customer_details"] else ""
    return page(
        "stripe_checkout.html",
        status=402 if error else 200,
        form_action=_origins(session["success_url"]),
        session=session,
        descriptions=[account.objects[line["price"]["product"]]["description"] for line in session["_lines"]],
        error=error,
        email=email or known,
        number=number,
        cards=CARDS,
    )


def _portal_page(twins: State, portal_id: str, *, error: str | None = None) -> HTMLResponse:
    account = _owner(twins, portal_id)
    with twins.stripe.change(account) as change:
        try:
            customer = portal.portal_customer(change, portal_id)
        except StripeError as gone:
            raise HTTPException(404, gone.message) from gone
        subscriptions = portal.subscriptions_of(change, customer["id"])
        invoices = [invoice for invoice in change.all("invoice") if invoice["customer"] == customer["id"]]
        return_url = change.get(portal_id)["return_url"]
    return page(
        "stripe_portal.html",
        status=402 if error else 200,
        form_action="'self'",
        customer=customer,
        subscriptions=subscriptions,
        names={item["id"]: item["name"] for item in account.all("product")},
        invoices=invoices,
        card=_card_in_use(account, customer, subscriptions),
        return_url=return_url,
        error=error,
    )


def _dashboard_page(account: Account, *, error: str | None = None) -> HTMLResponse:
    return page(
        "stripe_dashboard.html",
        status=400 if error else 200,
        form_action="'self'",
        account=account,
        now=account.now(),
        charges=account.all("charge")[:SHOWN],
        disputes=account.all("dispute")[:SHOWN],
        subscriptions=account.all("subscription")[:SHOWN],
        sessions=account.all("checkout.session")[:SHOWN],
        events=[(event, account.deliveries_of(event["id"])) for event in account.all("event")[:SHOWN]],
        endpoints=account.all("webhook_endpoint"),
        error=error,
    )


def _card_in_use(account: Account, customer: Object, subscriptions: list[Object]) -> str:
    methods = [customer["invoice_settings"]["default_payment_method"]]
    methods += [subscription["default_payment_method"] for subscription in subscriptions]
    number = next((account.objects[method]["_number"] for method in methods if method), None)
    return MEANS[number].spaced if number else ""


def _owner(twins: State, object_id: str) -> Account:
    try:
        return twins.stripe.owning(object_id)
    except StripeError as error:
        raise HTTPException(404, "There is no such page. The link may be mistyped.") from error


def _account(twins: State, account_id: str) -> Account:
    try:
        return twins.stripe.get(account_id)
    except StripeError as error:
        raise HTTPException(404, "There is no such account.") from error


def _origins(success_url: str) -> str:
    """A browser lets a form redirect only to where the page's policy says."""
    shop = urlsplit(success_url)
    return f"'self' {shop.scheme}://{shop.netloc}"


async def _fields(request: Request) -> dict[str, str]:
    return {name: str(value) for name, value in form.decode((await request.body()).decode()).items()}
