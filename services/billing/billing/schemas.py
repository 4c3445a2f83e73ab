"""What billing's routes answer. Amounts are integers in milli-credits; 1,000 of them are one credit."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Unit = Literal["millicredits"]


class Expiry(BaseModel):
    """Credits that will expire at one moment."""

    amount: int = Field(description="Unspent credits that expire then.", examples=[10_000])
    expires_at: datetime = Field(description="When they can no longer be held.", examples=["2027-01-01T00:00:00Z"])


class Credits(BaseModel):
    """The caller's wallet."""

    available: int = Field(description="What a new job can hold.", examples=[46_000])
    held: int = Field(description="Set aside for jobs that are not settled yet.", examples=[4_000])
    unit: Unit = "millicredits"
    version: int = Field(
        description="Counts the transactions of this wallet; 0 before the first, when it shows the registration bonus.",
        examples=[3],
    )
    next_expiry: Expiry | None = Field(default=None, description="What expires first, if anything does.")


class EntryView(BaseModel):
    """One line of a ledger transaction."""

    model_config = ConfigDict(from_attributes=True)

    account: str = Field(description="Ledger account.", examples=["customer.available"])
    amount: int = Field(description="Negative leaves the account, positive enters it.", examples=[-4_000])
    grant_id: str | None = Field(default=None, description="The grant these credits come from.")


class TransactionView(BaseModel):
    """One movement of credits, with all of its lines; they sum to zero."""

    id: str = Field(description="Id of the transaction.", examples=["txn_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    kind: str = Field(description="`grant`, `hold` or `settle`; more may come.", examples=["hold"])
    job_id: str | None = Field(default=None, description="The job it belongs to, if any.")
    created_at: datetime = Field(description="When it was booked.")
    unit: Unit = "millicredits"
    entries: list[EntryView] = Field(description="The lines of the transaction.")
    available_after: int = Field(description="Available credits once it was booked.", examples=[46_000])
    held_after: int = Field(description="Held credits once it was booked.", examples=[4_000])
    wallet_version: int = Field(description="Position in the wallet's history, counted from 1.", examples=[2])


class ImagePrice(BaseModel):
    """The price of one picture."""

    size: str = Field(description="Width x height in pixels.", examples=["1024x1024"])
    quality: str = Field(description="`standard` or `hd`.", examples=["standard"])
    price: int = Field(description="Milli-credits for each delivered picture.", examples=[4_000])


class PriceTable(BaseModel):
    """Prices by kind of job."""

    image: list[ImagePrice] = Field(description="Kind `image`: one price per delivered picture.")


class RefundView(BaseModel):
    """What happens to the credits of an item that failed with one class."""

    failure: str = Field(description="Failure class of the item.", examples=["outcome_unknown"])
    credits: str = Field(description="`released`: the customer gets them back in full.", examples=["released"])
    borne_by: str = Field(description="Who bears a cost that arose anyway: `nobody` or `platform`.")
    explanation: str = Field(description="The rule in a sentence.")


class Prices(BaseModel):
    """One version of the price book, and the refund rule of every failure class."""

    version: str = Field(description="Version of the price book; a job is settled by the one it was accepted under.")
    valid_from: datetime = Field(description="When this version came into force.")
    unit: Unit = "millicredits"
    versions: list[str] = Field(description="Every version that can be asked for, oldest first.")
    prices: PriceTable = Field(description="The price table.")
    refunds: list[RefundView] = Field(description="What is paid for items that fail: only delivered items are charged.")
