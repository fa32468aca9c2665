"""Whether the uncertainty profile of a response tells if it is right."""

from __future__ import annotations

from r1zero.analysis.profile import FEATURES as FEATURES
from r1zero.analysis.profile import features as features
from r1zero.analysis.profile import features_of as features_of
