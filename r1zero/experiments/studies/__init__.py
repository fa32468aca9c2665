"""Named experiments: arms x seeds, the statistic that was chosen beforehand, and what it says."""

from r1zero.experiments.studies.design import Study
from r1zero.experiments.studies.length_bias import LENGTH_BIAS
from r1zero.experiments.studies.visual import VISUAL_STUDIES

STUDIES: dict[str, Study] = {study.name: study for study in (LENGTH_BIAS, *VISUAL_STUDIES)}

__all__ = ["STUDIES", "Study"]
