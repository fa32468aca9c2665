"""What an objective does: probes put to r1zero's rows, to a user's own loss, and to TRL's."""

from r1zero.audit.batch import LossUnderAudit, ProbeBatch
from r1zero.audit.own import ObjectiveUnderAudit
from r1zero.audit.record import Audit, as_dict, audit
from r1zero.audit.user import UserBatch, UserLoss, load_user_loss

__all__ = [
    "Audit",
    "LossUnderAudit",
    "ObjectiveUnderAudit",
    "ProbeBatch",
    "UserBatch",
    "UserLoss",
    "as_dict",
    "audit",
    "load_user_loss",
]
