"""How much may go on at once: so many places, and a refusal that says when to come again for who finds none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from apps.serving.refusals import CODES, Refusal

LONGEST_RETRY_S = 60
"""Nobody is told to wait for longer, whatever the estimate."""

MEMORY = 0.9
"""Share of the estimate that stays when another request has taken its time."""


class Places:
    """A number of places. The event loop alone takes and gives them, so there is no lock."""

    def __init__(self, n: int, *, served_at_once: int, gauge: Gauge) -> None:
        self._n, self._served_at_once = n, served_at_once
        self._taken = 0
        gauge.set_function(lambda: self._taken)
        self._seconds_each = 1.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place; raise `Refusal` when there is none."""
        self.expect_one()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def expect_one(self) -> None:
        """Raise `Refusal` when there is no place left."""
        if self._taken >= self._n:
            raise Refusal(429, "busy", CODES["busy"], retry_after_s=self.retry_after_s)

    def took(self, seconds: float) -> None:
        """Learn how long one place is held."""
        self._seconds_each = MEMORY * self._seconds_each + (1.0 - MEMORY) * seconds

    @property
    def retry_after_s(self) -> int:
        """When about half of those who wait will have been served, 1 to `LONGEST_RETRY_S` seconds."""
        expected = self._seconds_each * self._taken / self._served_at_once / 2
        return min(LONGEST_RETRY_S, max(1, math.ceil(expected)))
