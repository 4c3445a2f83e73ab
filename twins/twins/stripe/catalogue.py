"""Products and prices. Every account starts with the packs and plans below; the control API puts others in place."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from twins.stripe import errors
from twins.stripe.account import Change, Object
from twins.stripe.ids import new_id
from twins.stripe.params import Metadata, PriceCreate, PriceUpdate, ProductCreate, Recurring


class SeededPrice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    unit_amount: Annotated[int, Field(ge=1)]
    currency: str = "usd"
    recurring: Recurring | None = None
    lookup_key: str | None = None
    active: bool = True
    metadata: Metadata = {}


class SeededProduct(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    name: str
    description: str | None = None
    prices: list[SeededPrice]
    metadata: Metadata = {}


_MONTHLY = Recurring(interval="month")
DEFAULT_CATALOGUE = [
    SeededProduct(
        id="prod_pack_500",
        name="500 credits",
        description="One-time pack. Bought credits do not expire.",
        prices=[SeededPrice(id="price_pack_500", unit_amount=500)],
    ),
    SeededProduct(
        id="prod_pack_2000",
        name="2,000 credits",
        description="One-time pack. Bought credits do not expire.",
        prices=[SeededPrice(id="price_pack_2000", unit_amount=1900)],
    ),
    SeededProduct(
        id="prod_basic",
        name="Basic",
        description="1,000 credits every month.",
        prices=[SeededPrice(id="price_basic_monthly", unit_amount=900, recurring=_MONTHLY)],
    ),
    SeededProduct(
        id="prod_pro",
        name="Pro",
        description="4,000 credits every month.",
        prices=[SeededPrice(id="price_pro_monthly", unit_amount=2900, recurring=_MONTHLY)],
    ),
]


def seed(change: Change, products: list[SeededProduct]) -> None:
    """Put products and prices on file under ids of the caller's choice, without events."""
    for item in products:
        product = ProductCreate(id=item.id, name=item.name, description=item.description, metadata=item.metadata)
        change.put(_product(change, product))
        for price in item.prices:
            wanted = PriceCreate(product=item.id, **price.model_dump(exclude={"id"}))
            change.put(_price(change, wanted, price_id=price.id))


def create_product(change: Change, params: ProductCreate) -> Object:
    if params.id in change.account.objects:
        raise errors.invalid("Product already exists.", param="id", code="resource_already_exists")
    product = change.put(_product(change, params))
    change.emit("product.created", product)
    return product


def create_price(change: Change, params: PriceCreate) -> Object:
    change.find("product", params.product, param="product")
    price = change.put(_price(change, params, price_id=new_id("price")))
    change.emit("price.created", price)
    return price


def update_price(change: Change, params: PriceUpdate, price_id: str) -> Object:
    before = change.find("price", price_id)
    fields = params.model_dump(include=params.model_fields_set - {"expand", "metadata"})
    price = change.update(price_id, **fields, metadata=before["metadata"] | (params.metadata or {}))
    change.emit("price.updated", price, previous=before)
    return price


def _product(change: Change, params: ProductCreate) -> Object:
    return {
        "id": params.id or new_id("prod", 14),
        "object": "product",
        "active": params.active,
        "created": change.now,
        "default_price": None,
        "description": params.description,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": params.metadata,
        "name": params.name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": change.now,
        "url": None,
    }


def _price(change: Change, params: PriceCreate, *, price_id: str) -> Object:
    recurring = params.recurring and {
        "interval": params.recurring.interval,
        "interval_count": params.recurring.interval_count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
    return {
        "id": price_id,
        "object": "price",
        "active": params.active,
        "billing_scheme": "per_unit",
        "created": change.now,
        "currency": params.currency.lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.lookup_key,
        "metadata": params.metadata,
        "nickname": params.nickname,
        "product": params.product,
        "recurring": recurring,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": params.unit_amount,
        "unit_amount_decimal": str(params.unit_amount),
    }
