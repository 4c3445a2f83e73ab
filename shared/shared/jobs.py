"""What a customer may ask for: one input model per kind of job, and where the outcome is delivered.

Gateway validates against these, generation reads the same models, so a request that was accepted can be made.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints, field_validator

SIGNING_KEY_FORM = r"^whsec_(?:[A-Za-z0-9+/]{4}){8,20}(?:[A-Za-z0-9+/]{2,4}|[A-Za-z0-9+/]{6})?={0,2}$"
"""Standard Webhooks: base64 of 24 to 64 bytes behind ``whsec_``, padded or not; one character more than whole groups
of four stands for nothing, and no decoder takes it."""

ImageSize = Literal["1024x1024", "1792x1024", "1024x1792"]
ImageQuality = Literal["standard", "hd"]


class JobInput(BaseModel):
    """Base of all job inputs; unknown fields are refused so that a typing error is not silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @property
    def items(self) -> int:
        """How many results the job makes, each settled by itself."""
        return 1


class ImageInput(JobInput):
    """Kind ``image``: one to four pictures of one prompt."""

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)] = Field(
        description="What the picture shows; at most 1,000 characters.",
        examples=["a lighthouse in a storm, oil painting"],
        json_schema_extra={"pattern": r"^[^\x00]*[^\x00\s][^\x00]*$"},  # what stripping and _printable come to
    )
    size: ImageSize = Field(default="1024x1024", description="Width x height in pixels.")
    quality: ImageQuality = "standard"
    n: int = Field(default=1, ge=1, le=4, description="Number of pictures; each is paid only when delivered.")
    fallback: Literal["none", "gradient"] = Field(
        default="none", description="`gradient` makes a free picture when the model is unavailable."
    )

    @field_validator("prompt")
    @classmethod
    def _printable(cls, prompt: str) -> str:
        if "\x00" in prompt:
            raise ValueError("the prompt must not contain NUL characters")
        return prompt

    @property
    def items(self) -> int:
        return self.n

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, _, height = self.size.partition("x")
        return int(width), int(height)


JOB_INPUTS: dict[str, type[JobInput]] = {"image": ImageInput}
"""Kind of job -> its input model."""


def parse_input(kind: str, data: dict[str, Any]) -> JobInput:
    """The typed input of a job. Raises LookupError for an unknown kind, pydantic.ValidationError for bad data.

    Strict, so that what the published schema forbids, such as a number in quotes, is refused.
    """
    return JOB_INPUTS[kind].model_validate(data, strict=True)


class WebhookTarget(BaseModel):
    """Where a job's outcome is posted, signed per Standard Webhooks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: HttpUrl = Field(description="An http or https address without user name and password.")
    secret: str | None = Field(
        default=None,
        pattern=SIGNING_KEY_FORM,
        description="Signing secret (`whsec_...`). Left out: the account's own signing secret is used.",
    )

    @field_validator("url")
    @classmethod
    def _callable(cls, url: HttpUrl) -> HttpUrl:
        """Refuse now what no delivery could reach later."""
        if url.username is not None or url.password is not None:
            raise ValueError("the address must not contain a user name or password; deliveries are signed instead")
        if url.port == 0:
            raise ValueError("the address has port 0, which cannot be called")
        return url


class Deliver(BaseModel):
    """How the outcome leaves Atelier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook: WebhookTarget
