"""What billing's routes answer. Amounts are integers in milli-credits; 1,000 of them are one credit."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from billing.spend_limits import Measure, Period, SpendLimit, State
from shared.ids import ApiKeyId, CampaignId

MAX_CAP = 10**15
Unit = Literal["millicredits"]


class Expiry(BaseModel):
    """Credits that will expire at one moment."""

    amount: int = Field(description="Unspent credits that expire then.", examples=[10_000])
    expires_at: datetime = Field(description="When they can no longer be held.", examples=["2027-01-01T00:00:00Z"])


class Credits(BaseModel):
    """The caller's wallet."""

    available: int = Field(
        description="What a new job can hold; below zero while something is owed.", examples=[46_000]
    )
    held: int = Field(description="Set aside for jobs that are not settled yet.", examples=[4_000])
    debt: int = Field(
        default=0,
        description="Owed after a refund or a dispute: new jobs are refused until it is repaid.",
        examples=[0],
    )
    unit: Unit = "millicredits"
    version: int = Field(
        description="Counts the transactions of this wallet; 0 before the first, when it shows the registration bonus.",
        examples=[3],
    )
    next_expiry: Expiry | None = Field(default=None, description="What expires first, if anything does.")
    plan: str | None = Field(default=None, description="The plan of now; null without one.", examples=["pro"])
    is_subscriber: bool | None = Field(
        default=None, description="Whether the plan gives something now; null for a past moment."
    )
    subscription_expires_at: datetime | None = Field(default=None, description="Until when the plan is paid.")

    @computed_field(description="Whether something is owed, so that new jobs are refused.")  # type: ignore[prop-decorator]
    @property
    def negative(self) -> bool:
        """Whether the balance is below zero."""
        return self.available < 0


class EntryView(BaseModel):
    """One line of a ledger transaction."""

    model_config = ConfigDict(from_attributes=True)

    account: str = Field(description="Ledger account.", examples=["customer.available"])
    amount: int = Field(description="Negative leaves the account, positive enters it.", examples=[-4_000])
    grant_id: str | None = Field(default=None, description="The grant these credits come from.")


class TransactionView(BaseModel):
    """One movement of credits, with all of its lines; they sum to zero."""

    id: str = Field(description="Id of the transaction.", examples=["txn_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    kind: str = Field(
        description="`grant`, `hold`, `settle`, `expire`, `clawback` or `adjust`; more may come.", examples=["hold"]
    )
    job_id: str | None = Field(default=None, description="The job it belongs to, if any.")
    created_at: datetime = Field(description="When it was booked.")
    unit: Unit = "millicredits"
    entries: list[EntryView] = Field(description="The lines of the transaction.")
    available_after: int = Field(description="Available credits once it was booked.", examples=[46_000])
    held_after: int = Field(description="Held credits once it was booked.", examples=[4_000])
    wallet_version: int = Field(description="Position in the wallet's history, counted from 1.", examples=[2])


class GrantShareView(BaseModel):
    """What one grant paid for an item."""

    grant_id: str = Field(description="The grant.", examples=["grt_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    amount: int = Field(description="What it paid.", examples=[4_000])


class ReceiptItem(BaseModel):
    """How one item of a job ended, and who paid for it."""

    model_config = ConfigDict(extra="ignore")

    item: int = Field(description="Position in the job, from 0.")
    outcome: str = Field(description="`delivered`, `failed` or `cancelled`.", examples=["delivered"])
    rule: str = Field(description="The refund rule that applied; see the prices.", examples=["delivered"])
    captured: int = Field(default=0, description="What was paid for it.", examples=[4_000])
    paid_by: list[GrantShareView] = Field(default=[], description="The grants that paid.")
    asset_id: str | None = Field(default=None, description="What was delivered.")


class HoldView(BaseModel):
    """The credits of one job: held while it runs, and afterwards its receipt."""

    model_config = ConfigDict(from_attributes=True)

    job_id: str = Field(description="The job.", examples=["job_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    state: str = Field(description="`open`, `settled` or `refused`.", examples=["open"])
    unit: Unit = "millicredits"
    price_version: str | None = Field(description="The price book that the job is settled by.")
    held: int = Field(description="What was set aside for it.", examples=[4_000])
    deadline: datetime | None = Field(description="When the job ends at the latest.")
    refusal: str | None = Field(description="Why nothing was held, if so.", examples=["insufficient_credits"])
    outcome: str | None = Field(description="How the job ended, once it has.", examples=["succeeded"])
    captured: int | None = Field(description="Paid, once settled.")
    released: int | None = Field(description="No longer held and not paid, once settled.")
    expired: int = Field(description="Of the released: not returned, because its grant had expired.")
    items: list[ReceiptItem] = Field(description="The receipt, item by item, once the job has ended.")


class Movement(BaseModel):
    """One line of a statement."""

    at: datetime = Field(description="When it was booked.")
    kind: str = Field(description="Kind of transaction.", examples=["settle"])
    reference: str = Field(description="Business key of the transaction.", examples=["grant:checkout:cs_123"])
    job_id: str | None = Field(description="The job, if any.")
    available: int = Field(description="Change of the available credits.", examples=[-4_000])
    held: int = Field(description="Change of the held credits.", examples=[4_000])
    available_after: int = Field(description="Available credits after it.")
    held_after: int = Field(description="Held credits after it.")


class Balance(BaseModel):
    """A wallet at one moment."""

    available: int = Field(description="Available then; below zero while something was owed.")
    held: int = Field(description="Held then.")


class Statement(BaseModel):
    """Everything that moved in one calendar month (UTC). Opening balance plus movements is the closing balance."""

    month: str = Field(description="Year and month.", examples=["2026-11"])
    account_id: str = Field(description="Whose statement it is.")
    unit: Unit = "millicredits"
    opening: Balance = Field(description="The wallet as the month began.")
    closing: Balance = Field(description="The wallet as the month ended, or as it is now.")
    totals: dict[str, int] = Field(
        description="Sum of the entries of the month per ledger account.", examples=[{"platform.earned": 8_000}]
    )
    movements: list[Movement] = Field(description="Every transaction, oldest first.")


class QuoteJob(BaseModel):
    """One job to be priced."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(max_length=50, description="Kind of job.", examples=["image"])
    input: dict[str, Any] = Field(
        description="Its input, as a job would have it.", examples=[{"prompt": "a lighthouse"}]
    )


class QuoteRequest(BaseModel):
    """What is to be priced."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[QuoteJob] = Field(min_length=1, max_length=100, description="One or more jobs, each priced by itself.")


class QuotedJob(BaseModel):
    """One job of a quote. Its input is not kept, only its fingerprint."""

    kind: str = Field(description="Kind of job.", examples=["image"])
    fingerprint: str = Field(description="SHA-256 of the input; a job that cites the quote must have the same.")
    price: int = Field(description="What will be held for it.", examples=[8_000])
    item_prices: list[int] = Field(description="Price of each item.", examples=[[4_000, 4_000]])


class Quote(BaseModel):
    """A price that is kept until `valid_until` for jobs that cite the quote."""

    id: str = Field(description="Cite it as `quote_id`.", examples=["qte_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    unit: Unit = "millicredits"
    price_version: str = Field(description="The version of the price book it is made by.", examples=["2026-11-22"])
    price: int = Field(description="Price of all jobs together, if every item is delivered.", examples=[8_000])
    hold: int = Field(description="What will be held when they start; what is not delivered returns.", examples=[8_000])
    valid_until: datetime = Field(description="Jobs requested until then get this price.")
    expired: bool = Field(description="Whether that moment has passed.")
    available: int = Field(description="The balance of now.", examples=[50_000])
    available_after: int = Field(
        description="The balance that would be left; below zero when short.", examples=[42_000]
    )
    affordable: bool = Field(description="Whether the balance pays for all of it.")
    jobs: list[QuotedJob] = Field(description="The jobs, in the order they were given.")


class ArticleRate(BaseModel):
    """The price of text."""

    tokens_per_credit: int = Field(description="Tokens that one credit pays; fractions round up.", examples=[2_000])


class VideoPrice(BaseModel):
    """The price of one video."""

    model: str = Field(description="Model.", examples=["standard"])
    size: str = Field(description="Width x height in pixels.", examples=["720x1280"])
    seconds: int = Field(description="Length.", examples=[4])
    price: int = Field(description="Milli-credits for each delivered video.", examples=[40_000])


class StorybookRate(BaseModel):
    """The price of a storybook's parts."""

    cover: int = Field(description="Milli-credits for the cover.", examples=[12_000])
    page: int = Field(description="Milli-credits for each page.", examples=[8_000])


class ImagePrice(BaseModel):
    """The price of one picture."""

    size: str = Field(description="Width x height in pixels.", examples=["1024x1024"])
    quality: str = Field(description="`standard` or `hd`.", examples=["standard"])
    price: int = Field(description="Milli-credits for each delivered picture.", examples=[4_000])


class PriceTable(BaseModel):
    """Prices by kind of job."""

    image: list[ImagePrice] = Field(description="Kind `image`: one price per delivered picture.")
    article: ArticleRate | None = Field(description="Text, by its tokens.")
    script: int | None = Field(description="Milli-credits for a script.", examples=[10_000])
    video: list[VideoPrice] = Field(description="One price per delivered video.")
    storybook: StorybookRate | None = Field(description="Storybooks, part by part.")


class RefundView(BaseModel):
    """What happens to the credits of an item that ended in one way."""

    rule: str = Field(
        description="Name of the rule, as the receipt of a job says it.", examples=["deadline_after_start"]
    )
    outcome: str = Field(description="How the item ended: `delivered`, or its failure class.", examples=["deadline"])
    credits: str = Field(
        description="`captured`: they pay for the item. `released`: the customer gets them back in full.",
        examples=["released"],
    )
    borne_by: str = Field(description="Who bears the cost: `customer`, `platform`, or `nobody` as there is none.")
    explanation: str = Field(description="The rule in a sentence.")


class Prices(BaseModel):
    """One version of the price book, and the refund rule of every way an item can end."""

    version: str = Field(description="Version of the price book; a job is settled by the one it was accepted under.")
    valid_from: datetime = Field(description="When this version came into force.")
    unit: Unit = "millicredits"
    versions: list[str] = Field(description="Every version that can be asked for, oldest first.")
    prices: PriceTable = Field(description="The price table.")
    refunds: list[RefundView] = Field(description="What is paid for items that fail: only delivered items are charged.")


class NewSpendLimit(BaseModel):
    """A cap, or an alert at a balance."""

    model_config = ConfigDict(extra="forbid")

    measure: Measure = Field(
        description="What is counted: `credits` held, `jobs` started, `provider_usd` by list price; or `balance`, which"
        " refuses nothing and tells once a period when the balance falls below the amount."
    )
    period: Period = Field(description="`day` or `month`, in UTC.")
    cap: int = Field(
        strict=True,
        ge=0,
        le=MAX_CAP,
        description="In milli-credits (`credits`, `balance`), jobs, or millionths of a US dollar (`provider_usd`).",
        examples=[100_000],
    )
    api_key_id: ApiKeyId | None = Field(default=None, description="Only jobs of this API key; default: all.")
    campaign_id: CampaignId | None = Field(default=None, description="Only jobs of this campaign; default: all.")

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        if self.api_key_id is not None and self.campaign_id is not None:
            raise ValueError("a limit is for an API key or for a campaign, not for both")
        if self.measure == "balance" and (self.api_key_id or self.campaign_id):
            raise ValueError("a balance belongs to the account, so an alert at it has no api_key_id and no campaign_id")
        return self


class SpendLimitCap(BaseModel):
    """A new amount for a limit."""

    model_config = ConfigDict(extra="forbid")

    cap: int = Field(
        strict=True, ge=0, le=MAX_CAP, description="The new amount, in the unit of the limit.", examples=[200_000]
    )


class SpendLimitView(BaseModel):
    """A limit and where it stands."""

    id: str = Field(description="Id of the limit.", examples=["cap_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    measure: Measure = Field(description="What is counted.")
    unit: str = Field(description="`millicredits`, `jobs` or `micro_usd`.", examples=["millicredits"])
    period: Period = Field(description="`day` or `month`, in UTC.")
    api_key_id: str | None = Field(description="The API key whose jobs count, if not all.")
    campaign_id: str | None = Field(description="The campaign whose jobs count, if not all.")
    cap: int = Field(description="The amount.", examples=[100_000])
    used: int = Field(description="Counted in this period: what was held for jobs, delivered or not.", examples=[8_000])
    period_start: datetime = Field(description="When the counted period began.")
    state: State = Field(description="`active`; `grace` for 24 hours after the cap is reached; then `paused`.")
    reached_at: datetime | None = Field(description="When the cap was reached, if it was.")

    @classmethod
    def of(cls, limit: SpendLimit, now: datetime) -> Self:
        """The view of a limit whose period is that of ``now``."""
        return cls(
            id=limit.id,
            measure=limit.measure,
            unit={"jobs": "jobs", "provider_usd": "micro_usd"}.get(limit.measure, "millicredits"),
            period=limit.period,
            api_key_id=limit.api_key_id,
            campaign_id=limit.campaign_id,
            cap=limit.cap,
            used=limit.used,
            period_start=limit.period_start,
            state=limit.state(now),
            reached_at=limit.reached_at,
        )


class SpendLimits(BaseModel):
    """All limits of an account."""

    data: list[SpendLimitView] = Field(description="The limits, oldest first.")
