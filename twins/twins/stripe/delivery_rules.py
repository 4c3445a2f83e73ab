"""Scripts for webhooks on their way: which event arrives twice, late, out of order, tampered with, or never."""

import re
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator

# What each action does, with the pattern its argument has to match ("" = takes none).
ACTIONS = {
    "duplicate": r"([1-9]\d?)?",
    "delay": r"\d{1,6}",
    "reorder": "",
    "drop": "",
    "forged": "",
    "stale": "",
    "truncated": "",
}


class DeliveryRule(BaseModel):
    """Done to the next `times` events of these `types` (None: of any), after letting `skip` of them pass."""

    model_config = ConfigDict(extra="forbid")

    action: str
    types: list[str] | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=1, ge=0)
    id: str = Field(default_factory=lambda: f"rule_{uuid4().hex[:12]}")

    @field_validator("action")
    @classmethod
    def _known(cls, text: str) -> str:
        name, _, argument = text.partition(":")
        if name not in ACTIONS or re.fullmatch(ACTIONS[name], argument) is None:
            raise ValueError(f"unknown delivery action {text!r}; known are {', '.join(ACTIONS)} (see the README)")
        return text

    @property
    def name(self) -> str:
        return self.action.partition(":")[0]

    @property
    def argument(self) -> str:
        return self.action.partition(":")[2]

    def matches(self, event_type: str) -> bool:
        return self.times != 0 and (self.types is None or event_type in self.types)

    def use(self) -> bool:
        """Whether the event at hand is one to act on."""
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True
