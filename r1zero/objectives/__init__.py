"""What is optimised: pure functions of tensors, and one table of named objectives."""

from r1zero.objectives.aggregation import BatchSize
from r1zero.objectives.family import OBJECTIVES, build_objective, likelihood_loss
from r1zero.objectives.objective import Objective, TokenBatch

__all__ = ["OBJECTIVES", "BatchSize", "Objective", "TokenBatch", "build_objective", "likelihood_loss"]
