"""The audit as one HTML file that opens offline, in the dress of r1zero's reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from r1zero.audit.findings import Findings, as_dict
from r1zero.audit.record import ACCURACIES, SHOWN_RATIOS
from r1zero.reports import page
from r1zero.reports.audit_figures import figures_of
from r1zero.reports.audit_tables import PROPERTIES, number
from r1zero.store import write_atomically


def write_page(findings: Findings, out: Path) -> Path:
    """Write `out`/audit.html and `out`/audit.json; returns the former."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: give a directory")
    out.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(as_dict(findings), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(out / "audit.json", numbers.encode())
    write_atomically(out / "audit.html", render_page(findings).encode())
    return out / "audit.html"


def render_page(findings: Findings) -> str:
    """The whole page as text."""
    audits = (*findings.audits, *(findings.trl.audits if findings.trl else ()))
    figures: list[list[Any]] = [*figures_of(audits)]
    if findings.simulations:
        from r1zero.experiments.two_branch import figure

        figures.append([figure(findings.simulations)])
    return page.render(
        "page.audit.html.j2",
        figures=figures,
        filters={"number": number},
        findings=findings,
        audits=audits,
        properties=PROPERTIES,
        accuracies=ACCURACIES,
        ratios=SHOWN_RATIOS,
    )
