"""Learns: the loop, the learner, and what surrounds them."""

from r1zero.training.loop import Run, TrainingError, train

__all__ = ["Run", "TrainingError", "train"]
