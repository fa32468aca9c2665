"""A language model as judge: does a response try to answer, and does it look back?  Any OpenAI-compatible endpoint."""

from r1zero.judging.estimate import Estimate, estimate
from r1zero.judging.judge import Counts, Verdicts, judge

__all__ = ["Counts", "Estimate", "Verdicts", "estimate", "judge"]
