"""How far two graders agree on the same answers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Two graders' verdicts, counted.

    Example: Agreement(both=40, only_first=3, only_second=1, neither=56)
    """

    both: int = 0  # call it right
    only_first: int = 0
    only_second: int = 0
    neither: int = 0

    @property
    def rows(self) -> int:
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def same(self) -> int:
        return self.both + self.neither

    @property
    def share(self) -> float:
        """Of rows on which they agree; NaN without rows.

        >>> Agreement(both=40, only_first=3, only_second=1, neither=56).share
        0.96
        """
        return self.same / self.rows if self.rows else math.nan

    @property
    def kappa(self) -> float:
        """Cohen's kappa, (p - e) / (1 - e): agreement p beyond what their shares of right verdicts give by chance, e.

        Cohen, Educational and Psychological Measurement 20 (1960).  NaN where e is 1: both give one verdict only.
        """
        if not self.rows:
            return math.nan
        first, second = (self.both + self.only_first) / self.rows, (self.both + self.only_second) / self.rows
        chance = first * second + (1 - first) * (1 - second)
        return (self.share - chance) / (1 - chance) if chance < 1 else math.nan

    def add(self, first: bool, second: bool) -> Agreement:
        """With one more row."""
        return Agreement(
            self.both + (first and second),
            self.only_first + (first and not second),
            self.only_second + (second and not first),
            self.neither + (not first and not second),
        )
