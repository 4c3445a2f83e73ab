"""The shop window: checkout sessions and the customer portal.

A wish to buy is committed before Stripe is asked, and its id is the idempotency key there. So a request that broke off
at any point, and is repeated with its own ``Idempotency-Key``, finds the same session again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.ledger import input_hash
from billing.payments import errors
from billing.payments.errors import StripeRefusedError, StripeUnavailableError
from billing.payments.offers import Offer, Offers
from billing.payments.schemas import CheckoutRequest, CheckoutView
from billing.payments.stripe_api import StripeApi
from billing.payments.subscriptions import subscription_of
from billing.payments.tables import checkouts, customers
from kit import idempotency
from kit.database import Database, ReadSession
from kit.places import Turns
from shared.ids import new_id

log = structlog.get_logger()

AT_A_TIME = 4
"""Of one account in one process: Stripe allows so many calls a second for all accounts together."""

Checkout = Row[tuple[Any, ...]]


class Shop:
    """Sells the offers of this environment. Raises Problem.

    Its sessions have places, because strangers ask for them; so nobody who calls it may have a session open.
    """

    def __init__(self, db: Database, api: StripeApi | None, offers: Offers, *, return_url: str) -> None:
        self._db = db
        self._stripe = api
        self._offers = offers
        self._return_url = return_url
        self._turns = Turns(AT_A_TIME, errors.too_many_purchases)

    async def check_out(self, wish: CheckoutRequest, *, account_id: str, key: str | None) -> CheckoutView:
        """A page on which the account can pay for a pack or a plan."""
        idempotency.check_key(key)
        with self._turns.turn(account_id):
            return await self._check_out(self._api(), wish, account_id=account_id, key=key)

    async def open_portal(self, return_url: str | None, *, account_id: str) -> str:
        """The page on which an account manages what it has bought."""
        with self._turns.turn(account_id):
            return await self._open_portal(self._api(), return_url, account_id=account_id)

    async def _check_out(
        self, api: StripeApi, wish: CheckoutRequest, *, account_id: str, key: str | None
    ) -> CheckoutView:
        offer = self._offer(wish)
        success_url = self._own_url("success_url", wish.success_url)
        cancel_url = self._own_url("cancel_url", wish.cancel_url)
        checkout = await self._wish(wish, offer, account_id=account_id, key=key)
        if checkout.url is None and checkout.state == "created":
            with _told():
                session_id, url, expires_at = await api.create_checkout(
                    checkout_id=checkout.id,
                    account_id=account_id,
                    customer_id=await self._customer(api, account_id),
                    offer=offer,
                    success_url=success_url,
                    cancel_url=cancel_url,
                )
            checkout = await self._opened(checkout, session_id=session_id, url=url, expires_at=expires_at)
        return CheckoutView.model_validate(checkout)

    async def _open_portal(self, api: StripeApi, return_url: str | None, *, account_id: str) -> str:
        return_url = self._own_url("return_url", return_url)
        query = select(customers.c.customer_id).where(customers.c.account_id == account_id)
        async with self._db.place(of=account_id), self._db.read() as session:
            customer_id = await session.scalar(query)
        if customer_id is None:
            raise errors.no_customer()
        with _told():
            return await api.create_portal(customer_id=customer_id, return_url=return_url)

    def _api(self) -> StripeApi:
        if self._stripe is None:
            raise errors.not_configured()
        return self._stripe

    def _offer(self, wish: CheckoutRequest) -> Offer:
        name = wish.pack or wish.plan or ""
        shelf: dict[str, Offer] = {**(self._offers.packs if wish.pack else self._offers.plans)}
        offer = shelf.get(name)
        if offer is None or offer.retired:
            raise errors.unknown_offer(name, [known.name for known in shelf.values() if not known.retired])
        return offer

    def _own_url(self, field: str, url: str | None) -> str:
        if url is None:
            return self._return_url
        home = urlsplit(self._return_url)
        try:
            wanted = urlsplit(url)
        except ValueError:  # such as a bracket that is not closed
            wanted = None
        if wanted is None or (wanted.scheme, wanted.netloc) != (home.scheme, home.netloc):
            raise errors.foreign_url(field, f"{home.scheme}://{home.netloc}/")
        return url

    async def _wish(self, wish: CheckoutRequest, offer: Offer, *, account_id: str, key: str | None) -> Checkout:
        """The row of this wish: a new one, or the one that its idempotency key made."""
        wished = input_hash(wish.model_dump())
        values = {
            "id": new_id("chk"),
            "account_id": account_id,
            "idempotency_key": key,
            "input_hash": wished,
            "kind": "pack" if wish.pack else "plan",
            "offer": offer.name,
            "price_id": offer.price_id,
            "amount": offer.amount,
        }
        mine = (checkouts.c.account_id == account_id) & (checkouts.c.idempotency_key == key)
        async with self._db.place(of=account_id), self._db.write() as session:
            known: Checkout | None = None
            if key is not None:
                known = (await session.execute(select(checkouts).where(mine))).one_or_none()
            if known is None:
                if wish.plan:
                    await self._refuse_second_plan(ReadSession(session), account_id)
                await session.execute(insert(checkouts).values(values).on_conflict_do_nothing())
                this = checkouts.c.id == values["id"] if key is None else mine
                known = (await session.execute(select(checkouts).where(this))).one()
        if key is not None and known.input_hash != wished:
            raise idempotency.conflict()
        return known

    async def _refuse_second_plan(self, session: ReadSession, account_id: str) -> None:
        current = await subscription_of(session, account_id=account_id, offers=self._offers)
        if current.is_subscriber or current.status == "past_due":
            raise errors.already_subscribed(current.plan or "a plan")

    async def _customer(self, api: StripeApi, account_id: str) -> str:
        query = select(customers.c.customer_id).where(customers.c.account_id == account_id)
        async with self._db.place(of=account_id), self._db.read() as session:
            known = await session.scalar(query)
        if known is not None:
            return str(known)
        created = {"account_id": account_id, "customer_id": await api.create_customer(account_id)}
        async with self._db.place(of=account_id), self._db.write() as session:
            await session.execute(insert(customers).values(created).on_conflict_do_nothing())
            return str(await session.scalar(query))

    async def _opened(self, checkout: Checkout, **session_fields: Any) -> Checkout:
        """Note the session, unless its webhook was faster and has noted more."""
        this = checkouts.c.id == checkout.id
        async with self._db.place(of=checkout.account_id), self._db.write() as session:
            opened = update(checkouts).where(this, checkouts.c.state == "created")
            await session.execute(opened.values(state="open"))
            noted = update(checkouts).where(this).values(session_fields).returning(*checkouts.c)
            return (await session.execute(noted)).one()


@contextmanager
def _told() -> Iterator[None]:
    """What went wrong at Stripe, as the customer is told of it."""
    try:
        yield
    except StripeUnavailableError as error:
        raise errors.unavailable() from error
    except StripeRefusedError as error:
        log.exception("stripe.refused")
        raise errors.refused() from error


async def checkout_of(session: ReadSession, checkout_id: str, *, account_id: str) -> CheckoutView:
    """How far a checkout got. Raises Problem 404."""
    mine = (checkouts.c.id == checkout_id) & (checkouts.c.account_id == account_id)
    checkout = (await session.execute(select(checkouts).where(mine))).one_or_none()
    if checkout is None:
        raise errors.no_such_checkout()
    return CheckoutView.model_validate(checkout)
