"""What a run needs before it is started: memory a GPU by part and phase, bytes that move, and what to change.

Arithmetic alone: nothing is loaded and no GPU is asked.  docs/scaling.md says how far from measurement it is.
"""

from r1zero.planning.advice import Change, advise
from r1zero.planning.demand import Demand, Machine, demand_of
from r1zero.planning.memory import Part, Plan, make_plan
from r1zero.planning.shapes import Shape, read_shape
from r1zero.planning.traffic import Movement, movements

__all__ = [
    "Change",
    "Demand",
    "Machine",
    "Movement",
    "Part",
    "Plan",
    "Shape",
    "advise",
    "demand_of",
    "make_plan",
    "movements",
    "read_shape",
]
