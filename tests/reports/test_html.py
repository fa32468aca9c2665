"""The report: whole, offline, escaped, and honest about what a run does not have."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from r1zero.experiments.recorded import load_run
from r1zero.reports.figures import PANELS, share_axes
from r1zero.reports.findings import report_run, verdict
from r1zero.reports.html import write_report
from r1zero.reports.page import script_hash
from r1zero.reports.samples import mark_cues, pick_samples
from r1zero.store import append_metrics

GRPO = {"objective": {"name": "grpo"}}
SMALL = {"steps": 4, "every": 2, "problems": 40}


class Page(HTMLParser):
    """Elements, scripts and visible text of a page."""

    def __init__(self, source: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # well formed
        self.text += " " if tag in ("td", "th", "p") else ""

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data

    @property
    def figures(self) -> list[list[dict | None]]:
        return json.loads(self.scripts[0])

    @property
    def words(self) -> str:
        return " ".join(self.text.replace("\u00a0", " ").split())


def read(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_one_file_holds_everything_and_asks_nobody(fake_run):
    run = fake_run(**SMALL)
    path = write_report([run])
    assert path == run / "report.html"
    page = read(path)
    assert page.open == []
    assert not [tag for tag, attributes in page.tags if "src" in attributes or "href" in attributes]
    assert [tag for tag, _ in page.tags if tag in ("link", "iframe", "img")] == []
    assert len(page.scripts) == 3 and "plotly.js" in page.scripts[1][:200]


def test_only_the_pages_own_scripts_may_run(fake_run):
    page = read(write_report([fake_run(**SMALL)]))
    policy = next(str(a["content"]) for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert all(f"'sha256-{script_hash(script)}'" in policy for script in page.scripts[1:])
    assert "script-src 'unsafe" not in policy and "http" not in policy


def test_responses_names_and_config_cannot_become_markup(fake_run):
    run = fake_run("<img src=x>", {"template": {"name": "</script><b>bold"}}, **SMALL)
    rows = (run / "metrics.jsonl").read_text().replace("countdown", "<b>suite</b>")
    (run / "metrics.jsonl").write_text(rows)
    page = read(write_report([run]))
    assert not {"img", "b", "bold", "suite"} & {tag for tag, _ in page.tags}
    assert "<img src=x>" in page.text and "</script><b>bold" in page.text and len(page.scripts) == 3
    assert "<" not in page.scripts[0]


def test_a_hostile_response_is_shown_as_it_is(fake_run):
    source = write_report([fake_run(**SMALL)]).read_text()
    assert html.escape("<script>alert('nobody runs me')</script> & [bold]", quote=False) in source.replace("&#39;", "'")
    assert "<script>alert" not in source


def test_cues_are_marked_and_everything_else_is_escaped():
    assert (
        str(mark_cues("a<b. Wait, re-checking & done"))
        == "a&lt;b. <mark>Wait</mark>, <mark>re-checking</mark> &amp; done"
    )


def test_the_verdict_states_accuracy_interval_paired_change_and_both_parts_of_the_length(fake_run):
    run = load_run(fake_run(steps=4, every=2, problems=300, accuracy=(0.1, 0.6)))
    said = verdict(report_run(run).suites[0])
    number = r"−?\.\d\d \[−?\.\d\d, −?\.\d\d\]"
    assert re.match(rf"Accuracy on 300 held-out countdown problems rose from {number} to {number} over 4 steps ", said)
    assert re.search(rf"\(paired change {number}, p < \.001\)", said)
    suite = report_run(run).suites[0]
    whole = suite.last.tokens_mean.estimate - suite.first.tokens_mean.estimate
    assert suite.change.within_total + suite.change.mix_total == pytest.approx(whole)


def test_a_change_that_may_be_none_is_not_called_a_rise(fake_run):
    run = load_run(fake_run("r", {"seed": 1}, steps=2, every=2, problems=30, accuracy=(0.3, 0.3)))
    assert "did not clearly move" in verdict(report_run(run).suites[0])


def test_every_panel_has_a_figure_with_labelled_axes_and_a_place(fake_run):
    page = read(write_report([fake_run(**SMALL)]))
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert len(page.figures) == len(PANELS)
    for row, (figure,) in enumerate(page.figures):
        assert f"figure-{row}-0" in ids
        axes = [axis for name, axis in figure["layout"].items() if re.fullmatch(r"[xy]axis\d?", name)]
        assert len(axes) >= 2 and all(axis["title"]["text"] for axis in axes)
        assert all(len(trace["x"]) == len(trace["y"]) > 0 for trace in figure["data"])


def test_two_runs_stand_side_by_side_on_the_same_axes_with_their_difference(fake_run):
    runs = [fake_run("a", **SMALL), fake_run("b", GRPO, accuracy=(0.2, 0.9), growth=3.0, **SMALL)]
    page = read(write_report(runs))
    for panel in page.figures:
        left, right = panel
        assert left["layout"]["xaxis"]["range"] == right["layout"]["xaxis"]["range"]
        assert left["layout"]["yaxis"]["range"] == right["layout"]["yaxis"]["range"]
        low, high = left["layout"]["yaxis"]["range"]
        if left["layout"]["yaxis"].get("type") != "log":
            values = [
                v for f in panel for t in f["data"] if t.get("yaxis", "y") == "y" for v in t["y"] if v is not None
            ]
            assert low <= min(values) and max(values) <= high
    assert "b is ahead of a in held-out accuracy" in page.words and "McNemar exact test" in page.words
    assert "knobs that differ a b objective.name dr_grpo grpo" in page.words


def test_runs_that_cannot_be_compared_are_still_shown_with_the_reason(fake_run):
    runs = [fake_run("a", **SMALL), fake_run("b", {"task": {"number_max": 9}}, **SMALL)]
    page = read(write_report(runs, runs[0] / "both.html"))
    assert "Not compared: a and b are not comparable: task.number_max is 25" in page.words
    assert len(page.figures[0]) == 2


def test_a_run_without_evaluation_with_one_step_is_still_a_page(fake_run):
    page = read(write_report([fake_run(steps=1, evaluates=False)]))
    assert "no held-out evaluation was recorded" in page.words and "Responses" not in page.words
    assert len(page.figures) == len(PANELS)


def test_a_run_that_only_evaluated_its_initial_model_is_a_page(fake_run):
    page = read(write_report([fake_run(stopped_at=0, **SMALL)]))
    assert "stopped after step 0 of 4" in page.words and "evaluated only once" in page.words
    assert len(page.figures) == 1


def test_an_interrupted_run_says_so(fake_run):
    page = read(write_report([fake_run(stopped_at=3, **SMALL)]))
    assert "stopped after step 3 of 4" in page.words and "over 2 steps" in page.words


def test_undefined_metrics_leave_gaps(fake_run):
    run = fake_run(**SMALL)
    append_metrics(run, {"step": 5, "reward/mean": float("nan"), "policy/kl_sampler_learner": 0.0, "grad/norm": None})
    page = read(write_report([run]))
    reward = next(trace for trace in page.figures[0][0]["data"] if trace.get("name") == "training reward")
    assert reward["x"][-1] == 5 and reward["y"][-1] is None


def test_missing_rollouts_are_reported_and_missing_metrics_refused(fake_run, tmp_path):
    run = fake_run(**SMALL)
    (run / "eval" / "step-000004.parquet").unlink()
    shutil.rmtree(run / "rollouts")
    page = read(write_report([run]))
    assert "eval/ lacks the rollouts of countdown at step 4" in page.words and "over 2 steps" in page.words
    (run / "metrics.jsonl").unlink()
    with pytest.raises(ValueError, match=r"no metrics\.jsonl"):
        write_report([run])
    with pytest.raises(ValueError, match="no run directory"):
        write_report([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="no run to report on"):
        write_report([])
    with pytest.raises(ValueError, match="is a directory"):
        write_report([fake_run("other", **SMALL)], tmp_path)


def test_a_failed_write_keeps_the_earlier_report(fake_run, monkeypatch):
    run = fake_run(**SMALL)
    before = write_report([run]).read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_report([run])
    assert (run / "report.html").read_bytes() == before
    assert [p.name for p in run.iterdir() if p.name.endswith(".part")] == []


def test_samples_hold_ten_of_each_outcome_and_the_same_problems_in_the_same_order(fake_run):
    run = load_run(fake_run(steps=2, every=2, problems=120))
    first = pick_samples(run.evaluation("countdown", 0))
    again = pick_samples(run.evaluation("countdown", 0).reverse())
    assert first == again
    assert [len(samples) for samples in first.values()][:2] == [10, 10]
    last = pick_samples(run.evaluation("countdown", 2), count=200)
    shared = {s.problem_id for s in first["wrong"]} & {s.problem_id for s in last["wrong"]}
    order = [[s.problem_id for s in samples if s.problem_id in shared] for samples in (first["wrong"], last["wrong"])]
    assert order[0] == order[1] and len(order[0]) > 2


def test_axes_without_any_value_are_left_alone():
    figures = [{"data": [{"x": [1], "y": [None]}], "layout": {"xaxis": {}, "yaxis": {}}}, None]
    share_axes(figures)
    assert "range" not in figures[0]["layout"]["yaxis"]


def test_config_marks_what_is_not_the_default(fake_run):
    source = write_report([fake_run("a", {"learner": {"lr": 8e-5}}, **SMALL)]).read_text()
    assert re.search(r'<tr class="changed ">\s*<td>learner.lr</td>\s*<td>8e-05</td>', source)
    assert re.search(r'<tr class=" ">\s*<td>learner.beta1</td>', source)
