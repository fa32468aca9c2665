"""Pictures beside responses: small, bounded in number, in the page itself, and never markup."""

import base64
import io
import random
from dataclasses import replace

import pytest

pytest.importorskip("PIL")
from PIL import Image

from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.reports.html import write_report
from r1zero.reports.pictures import LARGE, SHOWN, SIDE, shown_pictures
from r1zero.reports.subtasks import gains, subtask_rows
from r1zero.store import part_path, read_rollouts, write_rollouts
from r1zero.tasks.pictures import bring_pictures, keep_picture

SCENE = "scene:flat/nw.redcircle,e.bluesquare/7"


def noise(width, height):
    buffer = io.BytesIO()
    Image.frombytes("RGB", (width, height), random.Random(0).randbytes(3 * width * height)).save(buffer, "PNG")
    return buffer.getvalue()


def opened(shown):
    return Image.open(io.BytesIO(base64.b64decode(shown.data.removeprefix("data:image/png;base64,"))))


def test_a_scene_is_shown_as_it_is_drawn():
    (shown,) = shown_pictures([SCENE])
    picture = opened(shown).convert("RGB")
    assert picture.size == (84, 84) and not shown.missing
    assert picture.getpixel((14, 14)) == (220, 50, 47)  # red at the top left


def test_large_pictures_are_made_small(tmp_path):
    content = noise(900, 300)
    (shown,) = shown_pictures([keep_picture(content, tmp_path)], (tmp_path,))
    assert max(opened(shown).size) == SIDE
    assert len(base64.b64decode(shown.data.partition(",")[2])) < max(2 * LARGE, len(content) // 20)


def test_more_pictures_than_can_be_shown_are_left_out():
    assert len(shown_pictures([SCENE] * (SHOWN + 3))) == SHOWN


def test_a_picture_that_is_gone_is_said_to_be():
    (shown,) = shown_pictures(["sha256:" + "0" * 64], ())
    assert not shown.data and "no folder" in shown.missing


def test_a_page_shows_them_and_escapes_their_names(fake_run):
    run = fake_run(steps=2, every=2, problems=4)
    hostile = '"><script>alert(1)</script>.png'
    images = (SCENE, hostile, SCENE, SCENE, SCENE, SCENE)
    problem = Problem("countdown-x", "countdown", "?", "{}", images=images)
    prompt = Prompt(problem, "native", "?", (1,), images)
    rollout = Rollout(2, 0, prompt, Response("no", (1,), (-1.0,), "stop"), Grade(False, True, "no", "wrong"), 0.0)
    path = part_path(run, "eval", 2)
    constants = read_rollouts(path).select("run", "checkpoint", "temperature", "top_p", "seed").collect().row(0)
    names = ("run", "checkpoint", "temperature", "top_p", "seed")
    write_rollouts(path, [replace(rollout, advantage=0.0)], **dict(zip(names, constants, strict=True)))
    page = write_report([run]).read_text()
    assert page.count("<img src=") == SHOWN - 1 and "and 2 more" in page
    assert "<script>alert" not in page and "cannot be read" in page
    assert "img-src data: blob:" in page


def test_kept_pictures_are_brought_once(tmp_path):
    reference = keep_picture(noise(28, 28), tmp_path / "from")
    bring_pictures([reference], tmp_path / "from", tmp_path / "to")
    (path,) = (tmp_path / "to").iterdir()
    written = path.stat().st_mtime_ns
    bring_pictures([reference], tmp_path / "gone", tmp_path / "to")  # there already: nothing is looked for
    assert path.stat().st_mtime_ns == written and shown_pictures([reference], (tmp_path / "to",))[0].data


def test_sub_tasks_before_and_after_come_from_the_metrics():
    rows = [
        {"eval/visual/subtask/total": 0.4, "eval/visual/chance/total": 0.5, "step": 0},
        {"reward/mean": 0.5, "step": 1},
        {"eval/visual/subtask/total": 0.9, "eval/visual/chance/total": 0.5, "eval/visual/blank/total": None, "step": 2},
    ]
    (row,) = subtask_rows(rows, "visual")
    assert (row.name, row.before.estimate, row.after.estimate, row.chance) == ("total", 0.4, 0.9, 0.5)
    assert row.blank != row.blank  # was not asked
    assert subtask_rows(rows, "countdown") == []


def test_the_change_over_runs_has_an_interval_over_runs():
    def run(before, after):
        shares = {"eval/visual/chance/depth": 0.5, "eval/visual/prior/depth": 0.52, "eval/visual/blank/depth": 0.5}
        ends = [(0, before), (9, after)]
        return subtask_rows(
            [
                {"step": step, "eval/visual/subtask/depth": value, "eval/visual/subtask/total": value} | shares
                for step, value in ends
            ],
            "visual",
        )

    (row,) = gains([run(0.5, 0.6), run(0.6, 0.9)])  # changes of .1 and .3: mean .2, standard error .1
    assert (row.name, row.before, row.after) == ("depth", pytest.approx(0.55), pytest.approx(0.75))
    assert row.gain.estimate == pytest.approx(0.2)
    assert row.gain.high - row.gain.low == pytest.approx(2 * 12.706 * 0.1, rel=1e-3)  # t with one degree of freedom
    assert row.p_value == pytest.approx(0.2952, abs=1e-3) and (row.chance, row.prior) == (0.5, 0.52)


def test_runs_without_pictures_have_none_on_the_page(fake_run):
    page = write_report([fake_run(steps=2, every=2, problems=4)]).read_text()
    assert "<img" not in page
