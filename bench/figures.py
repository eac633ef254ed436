"""The distribution of measured times. Times are seconds here, and milliseconds where people read them."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Distribution:
    """Quantiles of a run, and the median of the worst of each of its seconds. All in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    worst_of_second_ms: float

    def __str__(self) -> str:
        return (
            f"p50 {self.p50_ms:.3f}  p99 {self.p99_ms:.3f}  p99.9 {self.p999_ms:.3f}  max {self.max_ms:.3f}"
            f"  worst of a second {self.worst_of_second_ms:.3f} ms  (n={self.count})"
        )

    def as_json(self) -> str:
        """A line that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Distribution":
        """The other way round. Raises ValueError and TypeError for anything else."""
        return cls(**json.loads(text))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile: the smallest value that `share` of all do not exceed. NaN of nothing."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def distribution(times_s: Sequence[float], per_second: int) -> Distribution:
    """The figures of times in the order they were planned in, so many of them in each second.

    The last second counts only when it is whole, unless there is no other. A time that is infinite (an
    answer that never came) is worse than all others, not left out.
    """
    ordered = sorted(times_s)
    whole = max(len(times_s) - len(times_s) % per_second, min(len(times_s), per_second))
    worst = [max(times_s[start : start + per_second]) for start in range(0, whole, per_second)]
    return Distribution(
        count=len(ordered),
        p50_ms=1000 * quantile(ordered, 0.5),
        p99_ms=1000 * quantile(ordered, 0.99),
        p999_ms=1000 * quantile(ordered, 0.999),
        max_ms=1000 * quantile(ordered, 1.0),
        worst_of_second_ms=1000 * median(worst) if worst else math.nan,
    )
