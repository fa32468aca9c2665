"""What other trainers and evaluators wrote, brought into our store: one file a format, listed in formats.py."""

from r1zero.importing.collect import import_rollouts
from r1zero.importing.formats import FORMATS
from r1zero.importing.verdicts import Choices

__all__ = ["FORMATS", "Choices", "import_rollouts"]
