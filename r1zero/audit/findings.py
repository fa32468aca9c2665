"""Everything one `r1zero audit` finds out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from r1zero.audit import record
from r1zero.audit.batch import LossUnderAudit
from r1zero.audit.record import Audit, audit, finite
from r1zero.audit.resemblance import Resemblance, resemblances
from r1zero.audit.trl import Agreement, compare_with_trl, losses_of_trl, trl_version

if TYPE_CHECKING:
    from r1zero.experiments.two_branch import Simulation


@dataclass(frozen=True)
class BesideTrl:
    """r1zero's rows beside TRL's code, and TRL's losses audited."""

    version: str
    agreements: tuple[Agreement, ...]
    without: tuple[str, ...]  # rows without a counterpart in TRL's GRPO trainers
    audits: tuple[Audit, ...]


@dataclass(frozen=True)
class Findings:
    group_size: int
    max_tokens: int
    audits: tuple[Audit, ...]
    resembles: dict[str, tuple[Resemblance, ...]]  # losses of users: the rows they equal
    trl: BesideTrl | None = None
    simulations: tuple[Simulation, ...] = ()
    not_simulated: tuple[str, ...] = ()  # "NAME: why"


def investigate(
    losses: Sequence[LossUnderAudit], group_size: int, max_tokens: int, foreign: Sequence[LossUnderAudit] = ()
) -> Findings:
    """Audit every loss; of the `foreign` ones also say which rows of the table they equal."""
    audits = tuple(audit(loss, group_size, max_tokens) for loss in (*foreign, *losses))
    resembles = {loss.name: tuple(resemblances(loss, group_size, max_tokens)) for loss in foreign}
    return Findings(group_size, max_tokens, audits, resembles)


def beside_trl(group_size: int, max_tokens: int, names: Sequence[str] | None = None) -> BesideTrl:
    """The rows named, or all that both have.  Raises ValueError where TRL is missing."""
    version = trl_version()
    rows, without = compare_with_trl(group_size, max_tokens, names)
    failed = {row.objective for row in rows if row.failure}
    losses = [loss for loss in losses_of_trl(names) if loss.name.removeprefix("trl ") not in failed]
    return BesideTrl(
        version, tuple(rows), tuple(without), tuple(audit(loss, group_size, max_tokens) for loss in losses)
    )


def as_dict(findings: Findings) -> dict[str, Any]:
    """Everything for JSON; undefined and infinite numbers are null."""
    found: dict[str, Any] = {
        "group_size": findings.group_size,
        "max_tokens": findings.max_tokens,
        "audits": [record.as_dict(one) for one in findings.audits],
        "equals": {name: [asdict(one) for one in rows] for name, rows in findings.resembles.items()},
    }
    if findings.trl:
        found["trl"] = {
            "version": findings.trl.version,
            "agreements": [asdict(row) | {"verdict": row.verdict} for row in findings.trl.agreements],
            "without_counterpart": list(findings.trl.without),
            "audits": [record.as_dict(one) for one in findings.trl.audits],
        }
    if findings.simulations or findings.not_simulated:
        found["simulations"] = [_simulation(one) for one in findings.simulations]
        found["not_simulated"] = list(findings.not_simulated)
    return finite(found)


def _simulation(simulation: Simulation) -> dict[str, Any]:
    """Lengths at the start and at the end, measured and predicted."""
    return {
        "name": simulation.objective.name,
        "lr": simulation.lr,
        "steps": simulation.right_ST.shape[1] - 1,
        "seeds": simulation.right_ST.shape[0],
        "right": {"start": float(simulation.right_ST[:, 0].mean()), "end": float(simulation.right_ST[:, -1].mean())},
        "wrong": {"start": float(simulation.wrong_ST[:, 0].mean()), "end": float(simulation.wrong_ST[:, -1].mean())},
    }
