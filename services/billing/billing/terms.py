"""What billing is configured to do."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """The numbers of the house; amounts in milli-credits."""

    registration_bonus: int
    daily_bonus: int
    hold_grace: timedelta
    quote_validity: timedelta
