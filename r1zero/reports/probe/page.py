"""The page of a probe: one section a question, models side by side, in a single file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1zero.reports import page
from r1zero.reports.sections import Section
from r1zero.store import write_atomically

WORDS = (
    (
        ".26 [.20, .31]",
        "A share of 1 (.26 is 26 %) and its 95 % interval. Intervals count problems, not responses: responses to one "
        "problem are alike, so more of them make a number less certain than as many from other problems. “–” is "
        "undefined, not zero.",
    ),
    (
        "p",
        "How often chance alone would give a difference this large, were there none. “After Holm”: with a "
        "correction for the number of tests, so that one false alarm among them is as rare as with one test.",
    ),
    ("pass@k, maj@k", "The chance that at least one of k responses is right; that the commonest answer of k is."),
    ("cue, pool", "A word of second thoughts, such as “wait” or “let me check”; a list of them."),
    ("question", "A problem under one template at one temperature; a problem is asked as several questions."),
    (
        "on the same question",
        "Responses are compared with others to the same question only, so that neither its "
        "difficulty nor its template can make the difference.",
    ),
    (
        "AUROC",
        "The chance that of a right and a wrong response the right one has more of something; .50 tells nothing.",
    ),
    ("kappa", "Cohen's: agreement of two detectors beyond what their rates alone give; 0 is chance, 1 is perfect."),
    ("precision, recall", "Of what a detector finds, the share that is there; of what is there, the share it finds."),
    (
        "truncated, unformatted",
        "Cut off at the limit of tokens; ended by itself without an answer where the template wants one.",
    ),
)


def write_probe(sections: Sequence[Section], out: Path, **facts: object) -> Path:
    """Write the page; `facts` are those of `render_page`."""
    write_atomically(out, render_page(sections, **facts).encode("utf-8", errors="replace"))  # type: ignore[arg-type]
    return out


def render_page(
    sections: Sequence[Section],
    *,
    headline: str = "Probe",
    kicker: str = "",
    provenance: Sequence[tuple[str, str]] = (),
) -> str:
    """The page as text.  `kicker` says what was asked; `provenance` are rows of (what, value)."""
    return page.render(
        "page.probe.html.j2",
        figures=[[panel.figure for panel in section.panels] for section in sections],
        headline=headline,
        kicker=kicker,
        sections=sections,
        provenance=provenance,
        words=WORDS,
    )
