"""Parameters of the API calls. What is not declared is refused as unknown, as Stripe does."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from twins.stripe import errors

P = TypeVar("P", bound="Params")

Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=40)], Annotated[str, StringConstraints(max_length=500)]],
    Field(max_length=50),
]
Page = Annotated[int, Field(ge=1, le=100)]


class Nested(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Params(Nested):
    expand: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _empty_means_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value not in ("", {})}


def read(model: type[P], values: dict[str, Any]) -> P:
    """Validate decoded parameters. Raises StripeError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise errors.from_validation(error) from error


# Lists


class Range(Nested):
    gt: int | None = None
    gte: int | None = None
    lt: int | None = None
    lte: int | None = None


class PageParams(Params):
    limit: Page = 10
    starting_after: str | None = None
    ending_before: str | None = None


class ListParams(PageParams):
    created: Range = Range()

    @model_validator(mode="before")
    @classmethod
    def _moment_is_a_range(cls, values: dict[str, Any]) -> dict[str, Any]:
        moment = values.get("created")
        return values | {"created": {"gte": moment, "lte": moment}} if isinstance(moment, str) else values


class SessionList(ListParams):
    customer: str | None = None
    payment_intent: str | None = None
    subscription: str | None = None
    status: str | None = None


class CustomerList(ListParams):
    email: str | None = None


class SubscriptionList(ListParams):
    customer: str | None = None
    price: str | None = None
    status: str | None = None


class InvoiceList(ListParams):
    customer: str | None = None
    subscription: str | None = None
    status: str | None = None


class PaymentFilter(Nested):
    type: Literal["payment_intent"]
    payment_intent: str | None = None


class InvoicePaymentList(ListParams):
    invoice: str | None = None
    payment: PaymentFilter | None = None
    status: str | None = None


class PaymentList(ListParams):
    """Of payment intents, charges, refunds and disputes."""

    customer: str | None = None
    payment_intent: str | None = None
    charge: str | None = None


class EventList(ListParams):
    type: str | None = None
    types: list[str] | None = Field(default=None, max_length=20)
    delivery_success: bool | None = None


class PriceList(ListParams):
    active: bool | None = None
    lookup_keys: list[str] | None = None
    product: str | None = None
    type: str | None = None


class ProductList(ListParams):
    active: bool | None = None
    ids: list[str] | None = None


# Products, prices, customers


class ProductCreate(Params):
    name: str
    id: str | None = None
    active: bool = True
    description: str | None = None
    metadata: Metadata = {}


class Recurring(Nested):
    interval: Literal["day", "week", "month", "year"]
    interval_count: Annotated[int, Field(ge=1)] = 1


class PriceCreate(Params):
    currency: str
    product: str
    unit_amount: Annotated[int, Field(ge=1)]
    active: bool = True
    lookup_key: str | None = None
    metadata: Metadata = {}
    nickname: str | None = None
    recurring: Recurring | None = None


class PriceUpdate(Params):
    active: bool | None = None
    metadata: Metadata | None = None
    nickname: str | None = None


class CustomerCreate(Params):
    email: str | None = None
    name: str | None = None
    description: str | None = None
    metadata: Metadata = {}


class CustomerUpdate(Params):
    email: str | None = None
    name: str | None = None
    description: str | None = None
    metadata: Metadata | None = None


# Checkout


class LineItem(Nested):
    price: str
    quantity: Annotated[int, Field(ge=1)] = 1


class PaymentIntentData(Nested):
    description: str | None = None
    metadata: Metadata = {}
    receipt_email: str | None = None


class SubscriptionData(Nested):
    description: str | None = None
    metadata: Metadata = {}


class AutomaticTax(Nested):
    enabled: bool


class SessionCreate(Params):
    mode: Literal["payment", "subscription"]
    line_items: Annotated[list[LineItem], Field(min_length=1, max_length=20)]
    success_url: str
    cancel_url: str | None = None
    client_reference_id: Annotated[str, StringConstraints(max_length=200)] | None = None
    customer: str | None = None
    customer_email: str | None = None
    customer_creation: Literal["always", "if_required"] | None = None
    expires_at: int | None = None
    metadata: Metadata = {}
    payment_intent_data: PaymentIntentData | None = None
    subscription_data: SubscriptionData | None = None
    allow_promotion_codes: bool | None = None
    automatic_tax: AutomaticTax = AutomaticTax(enabled=False)
    billing_address_collection: Literal["auto", "required"] | None = None
    locale: str | None = None
    payment_method_types: list[str] = ["card", "sepa_debit"]
    submit_type: str | None = None
    ui_mode: Literal["hosted", "hosted_page"] = "hosted_page"


class PortalCreate(Params):
    customer: str
    return_url: str | None = None
    configuration: str | None = None
    locale: str | None = None


# Subscriptions, invoices, refunds


class ItemChange(Nested):
    id: str
    price: str


class SubscriptionUpdate(Params):
    cancel_at_period_end: bool | None = None
    default_payment_method: str | None = None
    items: Annotated[list[ItemChange], Field(max_length=1)] = []
    metadata: Metadata | None = None
    proration_behavior: Literal["none", "create_prorations"] = "none"


class RefundCreate(Params):
    charge: str | None = None
    payment_intent: str | None = None
    amount: Annotated[int, Field(ge=1)] | None = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None
    metadata: Metadata = {}


# Webhook endpoints


class EndpointCreate(Params):
    url: str
    enabled_events: Annotated[list[str], Field(min_length=1)]
    api_version: str | None = None
    description: str | None = None
    metadata: Metadata = {}


class EndpointUpdate(Params):
    url: str | None = None
    enabled_events: list[str] | None = None
    description: str | None = None
    disabled: bool | None = None
    metadata: Metadata | None = None
