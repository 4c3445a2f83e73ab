"""The one module that speaks to Stripe, by its official SDK. What it returns are facts; every POST carries its key.

The SDK's own retries are off: whoever calls knows when to ask again, and does so under the same idempotency key.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import stripe

from billing.payments.errors import StripeMissingError, StripeRefusedError, StripeUnavailableError
from billing.payments.facts import CheckoutFact, DisputeFact, InvoiceFact, Promise, RefundFact, SubscriptionFact
from billing.payments.offers import Offer, Plan
from billing.payments.schemas import PriceTag
from billing.payments.settings import PaymentSettings
from billing.payments.stripe_http import StripeHttp

# What is listened to; also what the endpoint at Stripe should be subscribed to.
KINDS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",  # an inquiry has become a dispute
    "charge.dispute.closed",
)
PAGE = 100
CONNECTIONS = 20
"""Calls at a time; what is asked beyond waits. Stripe takes some 100 calls a second, and most take a third of one."""

_AMOUNT = re.compile(r"[1-9][0-9]{0,14}")


class StripeApi:
    """Stripe, as billing needs it. Raises StripeUnavailableError, StripeRefusedError and StripeMissingError.

    ``at`` is when the caller began to ask, on the database's clock; the facts carry it.
    """

    def __init__(self, *, api_key: str, url: str, timeout: float) -> None:
        self._http = StripeHttp(timeout=timeout, connections=CONNECTIONS)
        client = stripe.StripeClient(
            api_key, base_addresses={"api": url}, http_client=self._http, max_network_retries=0
        )
        self._api = client.v1

    @classmethod
    def from_settings(cls, settings: PaymentSettings) -> Self | None:
        """Stripe as it is configured, if it is."""
        if settings.stripe_api_key is None:
            return None
        return cls(
            api_key=settings.stripe_api_key.get_secret_value(),
            url=settings.stripe_api_url,
            timeout=settings.stripe_timeout.total_seconds(),
        )

    async def close(self) -> None:
        """Close pooled connections."""
        await self._http.close_async()

    async def fault_of(self, offer: Offer) -> str | None:
        """Why an offer cannot be sold at its price, if it cannot."""
        try:
            with _translated():
                price = await self._api.prices.retrieve_async(offer.price_id)
        except StripeMissingError:
            return f"{offer.name}: there is no price {offer.price_id} in this Stripe account"
        wanted = "recurring" if isinstance(offer, Plan) else "one_time"
        if price.type != wanted:
            return f"{offer.name}: the price {offer.price_id} is {price.type}, not {wanted}"
        if not price.active and not offer.retired:
            return f"{offer.name}: the price {offer.price_id} is not active"
        return None

    async def price_tag(self, price_id: str) -> PriceTag:
        """What a price asks for."""
        with _translated():
            price = await self._api.prices.retrieve_async(price_id)
        recurring = price.recurring
        return PriceTag(
            amount=price.unit_amount or 0,
            currency=price.currency,
            interval=recurring.interval if recurring else None,
            interval_count=recurring.interval_count if recurring else 1,
        )

    async def create_customer(self, account_id: str) -> str:
        """The customer of an account; asked again within a day, the same one."""
        with _translated():
            customer = await self._api.customers.create_async(
                {"metadata": {"account_id": account_id}}, {"idempotency_key": f"customer:{account_id}"}
            )
        return customer.id

    async def create_checkout(
        self, *, checkout_id: str, account_id: str, customer_id: str, offer: Offer, success_url: str, cancel_url: str
    ) -> tuple[str, str, datetime]:
        """Id, page and expiry of a session. The same ``checkout_id`` brings the same session."""
        metadata = {
            "checkout_id": checkout_id,
            "account_id": account_id,
            "kind": "plan" if isinstance(offer, Plan) else "pack",
            "offer": offer.name,
            "price_id": offer.price_id,
            "amount": str(offer.amount),
        }
        params: Any = {
            "mode": "payment",
            "line_items": [{"price": offer.price_id, "quantity": 1}],
            "customer": customer_id,
            "client_reference_id": account_id,
            "metadata": metadata,
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if isinstance(offer, Plan):
            params |= {"mode": "subscription", "subscription_data": {"metadata": {"account_id": account_id}}}
        else:
            params |= {"payment_intent_data": {"metadata": metadata}}
        with _translated():
            session = await self._api.checkout.sessions.create_async(params, {"idempotency_key": checkout_id})
        return session.id, session.url or "", _moment(session.expires_at)

    async def create_portal(self, *, customer_id: str, return_url: str) -> str:
        """A page on which the customer manages subscriptions and cards; it lives for minutes."""
        with _translated():
            portal = await self._api.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}
            )
        return portal.url

    async def checkout(self, session_id: str, *, at: datetime) -> CheckoutFact | None:
        """A session; None when billing did not make it."""
        with _translated():
            session = await self._api.checkout.sessions.retrieve_async(session_id, {"expand": ["payment_intent"]})
        return _checkout(session, at)

    async def subscription(self, subscription_id: str, *, at: datetime) -> SubscriptionFact | None:
        """A subscription; None when it belongs to no account."""
        with _translated():
            subscription = await self._api.subscriptions.retrieve_async(subscription_id)
        account_id = _metadata(subscription).get("account_id")
        if account_id is None:
            return None
        item = subscription["items"].data[0]
        return SubscriptionFact(
            object_id=subscription.id,
            fetched_at=at,
            account_id=account_id,
            price_id=item.price.id,
            status=subscription.status,
            period_end=_moment(item.current_period_end),
            cancel_at_period_end=subscription.cancel_at_period_end,
        )

    async def invoice(self, invoice_id: str, *, at: datetime) -> InvoiceFact | None:
        """An invoice for a period of a subscription; None for any other."""
        with _translated():
            invoice = await self._api.invoices.retrieve_async(invoice_id, {"expand": ["payments"]})
            return await self._invoice(invoice, at)

    async def refund(self, refund_id: str, *, at: datetime) -> RefundFact:
        """A refund."""
        with _translated():
            return _refund(await self._api.refunds.retrieve_async(refund_id), at)

    async def refunds_of(self, charge_id: str, *, at: datetime) -> list[RefundFact]:
        """All refunds of a charge."""
        with _translated():
            refunds = await self._api.refunds.list_async({"charge": charge_id, "limit": PAGE})
            return [_refund(refund, at) async for refund in refunds.auto_paging_iter()]

    async def dispute(self, dispute_id: str, *, at: datetime) -> DisputeFact:
        """A dispute."""
        with _translated():
            return _dispute(await self._api.disputes.retrieve_async(dispute_id), at)

    async def origin_of(self, payment_intent: str, *, at: datetime) -> CheckoutFact | InvoiceFact | None:
        """What a payment paid for; None when it is none of billing's."""
        with _translated():
            sessions = await self._api.checkout.sessions.list_async({"payment_intent": payment_intent, "limit": 1})
            if sessions.data:
                return await self.checkout(sessions.data[0].id, at=at)
            payments = await self._api.invoice_payments.list_async(
                {"payment": {"type": "payment_intent", "payment_intent": payment_intent}, "limit": 1}
            )
            invoice_id = _id(payments.data[0].invoice) if payments.data else None
        return await self.invoice(invoice_id, at=at) if invoice_id else None

    async def everything(self, *, at: datetime) -> AsyncIterator[CheckoutFact | InvoiceFact | RefundFact | DisputeFact]:
        """All that was bought of us, and all money that went back, whoever it went to."""
        with _translated():
            sessions = await self._api.checkout.sessions.list_async({"status": "complete", "limit": PAGE})
            async for session in sessions.auto_paging_iter():
                if bought := _checkout(session, at):
                    yield bought
            invoices = await self._api.invoices.list_async(
                {"status": "paid", "limit": PAGE, "expand": ["data.payments"]}
            )
            async for invoice in invoices.auto_paging_iter():
                if paid := await self._invoice(invoice, at):
                    yield paid
            refunds = await self._api.refunds.list_async({"limit": PAGE})
            async for refund in refunds.auto_paging_iter():
                yield _refund(refund, at)
            disputes = await self._api.disputes.list_async({"limit": PAGE})
            async for dispute in disputes.auto_paging_iter():
                yield _dispute(dispute, at)

    async def undelivered(self) -> AsyncIterator[tuple[str, str, str]]:
        """Id, kind and object of the events of the last 30 days that did not reach our endpoint."""
        with _translated():
            events = await self._api.events.list_async({"delivery_success": False, "types": list(KINDS), "limit": PAGE})
            async for event in events.auto_paging_iter():
                yield event.id, event.type, event.data.object["id"]

    async def _invoice(self, invoice: stripe.Invoice, at: datetime) -> InvoiceFact | None:
        details = invoice.parent.subscription_details if invoice.parent else None
        account_id = _metadata(details).get("account_id") if details else None
        if details is None or account_id is None:
            return None
        line = await self._line_of_period(invoice)
        if line is None:
            return None
        assert line.pricing is not None
        assert line.pricing.price_details is not None
        paid_at = invoice.status_transitions.paid_at
        return InvoiceFact(
            object_id=invoice.id,
            fetched_at=at,
            account_id=account_id,
            subscription_id=_id(details.subscription) or "",
            status=invoice.status or "",
            price_id=_id(line.pricing.price_details.price) or "",
            quantity=line.quantity or 1,
            period_start=_moment(line.period.start),
            period_end=_moment(line.period.end),
            paid_at=_moment(paid_at) if paid_at is not None else None,
            amount_paid=invoice.amount_paid,
            payment_intents=await self._intents_of(invoice),
        )

    async def _line_of_period(self, invoice: stripe.Invoice) -> stripe.InvoiceLineItem | None:
        """An invoice brings only its first ten lines along, and prorations stand before that of the period."""
        line = next(filter(_pays_a_period, invoice.lines.data), None)
        if line is not None or not invoice.lines.has_more:
            return line
        lines = await self._api.invoices.line_items.list_async(invoice.id, {"limit": PAGE})
        async for line in lines.auto_paging_iter():
            if _pays_a_period(line):
                return line
        return None

    async def _intents_of(self, invoice: stripe.Invoice) -> tuple[str, ...]:
        """What an invoice was paid by; in parts it may be more than the ten that it brings along."""
        payments = invoice.payments
        if payments is not None and payments.has_more:
            payments = await self._api.invoice_payments.list_async({"invoice": invoice.id, "limit": PAGE})
        if payments is None:
            return ()
        paid_by = [_id(payment.payment.payment_intent) async for payment in payments.auto_paging_iter()]
        return tuple(intent for intent in paid_by if intent)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise StripeUnavailableError(str(error)) from error
    except stripe.StripeError as error:
        if error.http_status is None or error.http_status >= 500 or error.http_status == 409:
            raise StripeUnavailableError(str(error)) from error
        if error.http_status == 404 or error.code == "resource_missing":
            raise StripeMissingError(str(error)) from error
        raise StripeRefusedError(str(error)) from error


def _checkout(session: stripe.checkout.Session, at: datetime) -> CheckoutFact | None:
    metadata = _metadata(session)
    if "checkout_id" not in metadata or "account_id" not in metadata:
        return None
    intent = session.payment_intent
    return CheckoutFact(
        object_id=session.id,
        fetched_at=at,
        checkout_id=metadata["checkout_id"],
        account_id=metadata["account_id"],
        promise=_promise(metadata),
        status=session.status or "",
        payment_status=session.payment_status,
        payment_failed=isinstance(intent, stripe.PaymentIntent) and intent.status == "requires_payment_method",
        payment_intent=_id(intent),
        amount_paid=session.amount_total or 0,
        subscription_id=_id(session.subscription),
    )


def _promise(metadata: Mapping[str, str]) -> Promise | None:
    kind, offer, price_id, amount = (metadata.get(name, "") for name in ("kind", "offer", "price_id", "amount"))
    if kind not in {"pack", "plan"} or not offer or not price_id or not _AMOUNT.fullmatch(amount):
        return None
    return Promise(kind, offer, price_id, int(amount))


def _pays_a_period(line: stripe.InvoiceLineItem) -> bool:
    """Not a proration: those are parts of a period, and may stand before the line of the next whole one."""
    item = line.parent.subscription_item_details if line.parent else None
    return bool(item and not item.proration and line.pricing and line.pricing.price_details)


def _refund(refund: stripe.Refund, at: datetime) -> RefundFact:
    return RefundFact(
        object_id=refund.id,
        fetched_at=at,
        status=refund.status or "",
        amount=refund.amount,
        payment_intent=_id(refund.payment_intent),
    )


def _dispute(dispute: stripe.Dispute, at: datetime) -> DisputeFact:
    return DisputeFact(
        object_id=dispute.id,
        fetched_at=at,
        status=dispute.status,
        amount=dispute.amount,
        payment_intent=_id(dispute.payment_intent),
    )


def _metadata(item: Any) -> dict[str, str]:
    return item.metadata.to_dict() if item.metadata else {}


def _id(reference: Any) -> str | None:
    """The id of something that Stripe gives as an id or whole."""
    return reference if isinstance(reference, str) or reference is None else str(reference.id)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
