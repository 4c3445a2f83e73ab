"""All accounts, and the journal that brings them back after a `kill -9`.

One journal record per change: a request is on file whole, with its events, deliveries and idempotent answer, before
its own answer leaves.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from twins.calls import fingerprint
from twins.changes import OVERVIEW, Changes
from twins.journal import Journal
from twins.stripe import errors
from twins.stripe.account import Account, Answer, Change, Delivery, Object
from twins.stripe.catalogue import DEFAULT_CATALOGUE, seed
from twins.stripe.clock import catch_up
from twins.stripe.delivery_rules import DeliveryRule
from twins.stripe.errors import StripeError

# Stripe forgets an idempotency key after at least 24 hours.
ANSWERS_KEPT_SECONDS = 24 * 3600

Dispatch = Callable[[Account, list[Delivery]], None]


class Accounts:
    """`dispatch` is told of deliveries that have just been put on file."""

    def __init__(self, journal: Journal, changes: Changes, dispatch: Dispatch) -> None:
        self._journal = journal
        self._changes = changes
        self._dispatch = dispatch
        self._accounts: dict[str, Account] = {}
        for record in journal.replay():
            self._restore(record)

    def all(self) -> list[Account]:
        return list(self._accounts.values())

    def of_key(self, api_key: str) -> Account:
        """The account of a secret key. A new one starts with the default catalogue."""
        account = self._own(f"acct_{fingerprint(api_key)}")
        if not account.objects:
            with self.change(account) as change:
                seed(change, DEFAULT_CATALOGUE)
        return account

    def get(self, account_id: str) -> Account:
        if account_id not in self._accounts:
            raise errors.no_such("account", account_id)
        return self._accounts[account_id]

    def owning(self, object_id: str) -> Account:
        """The account that has an object. Raises StripeError when none has."""
        for account in self._accounts.values():
            if object_id in account.objects:
                return account
        raise errors.no_such("object", object_id)

    @contextmanager
    def change(
        self,
        account: Account,
        *,
        request_id: str | None = None,
        idempotency_key: str | None = None,
        pages_url: str = "",
    ) -> Iterator[Change]:
        """A change that is on file when the block ends, and never was when it raises; a declined card stays."""
        self._catch_up(account)
        change = Change(account, request_id=request_id, idempotency_key=idempotency_key, pages_url=pages_url)
        try:
            yield change
        except StripeError as error:
            if error.status == 402:
                self._commit(change)
            raise
        self._commit(change)

    def advance(self, account: Account, seconds: int) -> None:
        """Move the clock forward and let everything happen that falls due on the way."""
        change = Change(account)
        change.clock_offset = account.clock_offset + seconds
        self._commit(change)
        self._catch_up(account)

    def record(self, account: Account, delivery: Delivery) -> None:
        """Put the progress of a delivery on file."""
        self._journal.append({"account": account.id, "deliveries": [asdict(delivery)]})
        account.deliveries[delivery.id] = delivery
        self._announce(account)

    def claim_rule(self, account: Account, event_type: str) -> DeliveryRule | None:
        """The delivery rule of this event, if there is one. Claiming uses up one of its times."""
        rule = next((rule for rule in account.delivery_rules if rule.matches(event_type)), None)
        if rule is None:
            return None
        claimed = rule.use()
        self.set_rules(account, account.delivery_rules)
        return rule if claimed else None

    def set_rules(self, account: Account, rules: list[DeliveryRule]) -> None:
        account.delivery_rules = rules
        self._journal.append({"account": account.id, "delivery_rules": [rule.model_dump() for rule in rules]})

    def close(self) -> None:
        self._journal.close()

    def _catch_up(self, account: Account) -> None:
        while (change := catch_up(account)) is not None:
            self._commit(change)

    def _commit(self, change: Change) -> None:
        if change.empty:
            return
        account = change.account
        record: dict[str, Any] = {
            "account": account.id,
            "objects": list(change.objects.values()),
            "deliveries": [asdict(delivery) for delivery in change.deliveries],
        }
        if change.answer is not None:
            record["answer"] = asdict(change.answer)
        if change.clock_offset is not None:
            record["clock_offset"] = change.clock_offset
        self._journal.append(record)
        _apply(account, change.objects.values(), change.deliveries, change.answer, change.clock_offset)
        self._announce(account)
        self._dispatch(account, change.deliveries)

    def _restore(self, record: dict[str, Any]) -> None:
        account = self._own(record["account"])
        if "delivery_rules" in record:
            account.delivery_rules = [DeliveryRule.model_validate(rule) for rule in record["delivery_rules"]]
            return
        deliveries = [Delivery(**{**item, "outcomes": tuple(item["outcomes"])}) for item in record["deliveries"]]
        answer = Answer(**record["answer"]) if "answer" in record else None
        _apply(account, record.get("objects", ()), deliveries, answer, record.get("clock_offset"))

    def _own(self, account_id: str) -> Account:
        return self._accounts.setdefault(account_id, Account(account_id))

    def _announce(self, account: Account) -> None:
        self._changes.announce(f"stripe/{account.id}")
        self._changes.announce(OVERVIEW)


def _apply(
    account: Account,
    objects: Any,
    deliveries: list[Delivery],
    answer: Answer | None,
    clock_offset: int | None,
) -> None:
    if clock_offset is not None:
        account.clock_offset = clock_offset
    items: list[Object] = list(objects)
    account.objects.update((item["id"], item) for item in items)
    account.deliveries.update((delivery.id, delivery) for delivery in deliveries)
    if answer is not None:
        oldest = answer.at - ANSWERS_KEPT_SECONDS
        account.answers = {key: kept for key, kept in account.answers.items() if kept.at >= oldest}
        account.answers[answer.key] = answer
