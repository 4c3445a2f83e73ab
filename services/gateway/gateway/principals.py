"""Who asks: a customer, by an API key or by a browser session and the key, if there is one, that opened it."""

from dataclasses import dataclass
from datetime import datetime

from kit.identity import Caller


@dataclass(frozen=True, slots=True)
class Principal(Caller):
    """A customer with the credentials that were shown. ``expires_at`` is when the key behind them ends."""

    api_key_id: str | None = None
    expires_at: datetime | None = None
