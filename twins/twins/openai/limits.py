"""Rate-limit headers as OpenAI sends them, counted per key and minute.

The twin counts but never refuses by itself: a refusal is a fault script's business.
"""

import time
from dataclasses import dataclass

REQUESTS_PER_MINUTE = 5_000
WINDOW_SECONDS = 60


@dataclass
class _Window:
    minute: int = 0
    used: int = 0


_windows: dict[str, _Window] = {}


def headers(credentials: str) -> dict[str, str]:
    now = time.time()
    minute = int(now // WINDOW_SECONDS)
    window = _windows.setdefault(credentials, _Window())
    if window.minute != minute:
        window.minute, window.used = minute, 0
    window.used += 1
    reset = round((minute + 1) * WINDOW_SECONDS - now)
    return {
        "x-ratelimit-limit-requests": str(REQUESTS_PER_MINUTE),
        "x-ratelimit-remaining-requests": str(max(REQUESTS_PER_MINUTE - window.used, 0)),
        "x-ratelimit-reset-requests": f"{reset}s",
    }
