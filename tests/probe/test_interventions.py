"""The causal test: what its arms hold, that it continues, and that the same question gives the same answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1zero.facts.cues import POOLS, CuePool, find_cues
from r1zero.probe.interventions import ARMS, CONTRASTS, HERE, causal_test, read_causal
from r1zero.probe.trials import Plan, make_plan
from r1zero.store import read_rollouts

POOL = POOLS["extended"]


@pytest.fixture(scope="module")
def plan(organism: Any) -> Plan:
    return make_plan(
        organism.policy,
        organism.template,
        organism.rollouts,
        prefixes=10,
        sampling=organism.sampling,
        seed=0,
        pool=POOL,
    )


def run(organism: Any, out: Path | None, **changes: Any) -> Any:
    settings = {"prefixes": 6, "continuations": 3, "sampling": organism.sampling, "seed": 0, "pool": POOL} | changes
    rollouts = settings.pop("rollouts", organism.rollouts)
    engine = settings.pop("engine", organism.engine)
    return causal_test(organism.policy, engine, organism.template, rollouts, out=out, **settings)


class Counting:
    """The engine, with the number of its calls; after some of them it dies."""

    def __init__(self, engine: Any, dies_after: int | None = None) -> None:
        self.engine, self.calls, self.dies_after = engine, 0, dies_after

    def generate(self, *args: Any, **settings: Any) -> Any:
        if self.calls == self.dies_after:
            raise KeyboardInterrupt
        self.calls += 1
        return self.engine.generate(*args, **settings)


def test_every_arm_of_a_place_begins_alike(plan: Plan) -> None:
    by_place: dict[tuple[str, str], dict[str, Any]] = {}
    for trial in plan.trials:
        by_place.setdefault((trial.kind, trial.prefix.key), {})[trial.arm] = trial
    wanted: dict[str, set[str]] = {}
    for kind, arm in ARMS:
        wanted.setdefault(kind, set()).add(arm)
    assert {kind for kind, _ in by_place} == set(wanted)
    for (kind, _), arms in by_place.items():
        assert set(arms) == wanted[kind]
        assert len({trial.prefix.kept for trial in arms.values()}) == 1
        assert arms[min(arms)].source.tokens.ids[: arms[min(arms)].depth] == arms[min(arms)].prefix.kept


def test_at_a_cue_the_arms_hold_it_remove_it_and_replace_it(plan: Plan, organism: Any) -> None:
    decode = organism.policy.tokenizer.decode
    cues = [trial for trial in plan.trials if trial.kind == "cue"]
    assert len({trial.prefix.key for trial in cues if trial.arm == "kept"}) == 10
    for trial in cues:
        kept, whole = decode(trial.prefix.kept), decode(trial.prefix.ids)
        assert not find_cues(kept, POOL)
        first = find_cues(trial.source.tokens.text, POOL)[0]
        length = {t.arm: len(t.prefix.given) for t in cues if t.prefix.key == trial.prefix.key}
        assert length["filler"] == length["kept"] > 0 == length["banned"] == length["banned_here"]
        if trial.arm == "kept":
            assert trial.source.tokens.text.startswith(whole)
            assert [span.end for span in find_cues(whole, POOL)] == [first.end]
        elif trial.arm == "answer":
            assert whole == kept + ("Answer:" if kept.endswith("\n") or not kept else "\nAnswer:")
        else:
            assert not find_cues(whole, POOL)


def test_placebo_places_have_no_cue_and_keep_as_many_tokens(plan: Plan, organism: Any) -> None:
    kept = [trial for trial in plan.trials if (trial.kind, trial.arm) == ("placebo", "kept")]
    assert len(kept) == len({trial.prefix.key for trial in kept}) == 10
    for trial in kept:
        text = organism.policy.tokenizer.decode(trial.prefix.ids)
        assert not find_cues(text, POOL)
        assert trial.source.tokens.text.startswith(text)
    depth = {
        kind: sum(trial.depth for trial in plan.trials if (trial.kind, trial.arm) == (kind, "kept")) / 10
        for kind in ("cue", "placebo")
    }
    assert abs(depth["cue"] - depth["placebo"]) < 8


def test_insertion_is_where_the_policy_was_most_undecided(plan: Plan) -> None:
    def entropies(kind: str) -> dict[str, float]:
        return {t.source.key: t.entropy for t in plan.trials if (t.kind, t.arm) == (kind, "inserted")}

    at_random, undecided = entropies("insert_random"), entropies("insert_entropy")
    assert at_random.keys() == undecided.keys()
    assert all(undecided[key] >= at_random[key] for key in undecided)
    assert any(undecided[key] > at_random[key] for key in undecided)


def test_an_injected_error_differs_in_the_number_only(plan: Plan, organism: Any) -> None:
    decode = organism.policy.tokenizer.decode
    slips = [trial for trial in plan.trials if trial.kind == "recovery"]
    assert slips
    for trial in slips:
        assert trial.source.correct
        own = trial.source.tokens.text.startswith(decode(trial.prefix.ids))
        assert own == (trial.arm == "untouched")


def test_a_killed_test_continues_and_ends_the_same(organism: Any, tmp_path: Path) -> None:
    whole = run(organism, None)
    dying = Counting(organism.engine, dies_after=3)
    with pytest.raises(KeyboardInterrupt):
        run(organism, tmp_path, engine=dying, continuations=3)
    done = len(list((tmp_path / "causal").glob("part-*.parquet")))
    assert done >= 1
    counting = Counting(organism.engine)
    assert repr(run(organism, tmp_path, engine=counting)) == repr(whole)
    again = Counting(organism.engine)
    assert repr(run(organism, tmp_path, engine=again)) == repr(whole)
    assert (again.calls, counting.calls > 0) == (0, True)
    damaged = next((tmp_path / "causal").glob("part-*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert repr(run(organism, tmp_path)) == repr(whole)


def test_parts_are_rollouts_with_the_arms_beside(organism: Any, tmp_path: Path) -> None:
    result = run(organism, tmp_path)
    rows = pl.concat([pl.read_parquet(path) for path in (tmp_path / "causal").glob("*.parquet")])
    assert read_rollouts(tmp_path / "causal").collect().height == rows.height
    assert {(kind, arm) for kind, arm in rows.select("kind", "arm").unique().iter_rows()} == set(ARMS)
    assert rows.group_by("kind", "arm", "prefix").len()["len"].unique().to_list() == [3]
    assert result.tokens == (rows["tokens"] - rows["given"]).sum()
    assert (rows["num_tokens"] == rows["depth"] + rows["tokens"]).all()
    assert (rows["token_ids"].list.len() == rows["num_tokens"]).all()
    assert rows["num_tokens"].max() <= organism.sampling.max_tokens
    banned = rows.filter(arm="banned")
    assert not banned["cued"].any()
    here = rows.filter(arm="banned_here")
    assert here["cued"].any()
    for ids, depth in here.select("token_ids", "depth").iter_rows():
        before = organism.policy.tokenizer.decode(ids[:depth])
        until = organism.policy.tokenizer.decode(ids[: depth + HERE])
        assert len(find_cues(until, POOL)) == len(find_cues(before, POOL))


def test_other_settings_replace_the_parts(organism: Any, tmp_path: Path) -> None:
    run(organism, tmp_path)
    before = {path.name for path in (tmp_path / "causal").iterdir()}
    run(organism, tmp_path, continuations=2)
    after = {path.name for path in (tmp_path / "causal").iterdir()}
    assert not before & after


def test_the_result_names_every_contrast(organism: Any) -> None:
    result = run(organism, None)
    assert tuple(effect.contrast for effect in result.effects) == CONTRASTS
    assert result.leak.estimate == 0.0
    assert result.reflecting > 6
    assert {one.kind: one.places for one in result.balance} == {"cue": 6, "placebo": 6}
    assert find_cues(result.inserted, POOL)


def test_without_any_cue_the_rest_is_still_tested(organism: Any) -> None:
    result = run(organism, None, pool=CuePool("mine", ("abracadabra",)), prefixes=3, continuations=2)
    assert result.reflecting == 0
    assert result.inserted == "Wait"
    found = {effect.contrast.kind: effect.prefixes for effect in result.effects if effect.contrast.placebo is None}
    assert found["cue"] == found["placebo"] == 0
    assert found["insert_random"] == 3


def test_responses_that_cannot_be_broken_off_are_refused(organism: Any) -> None:
    other = organism.rollouts.with_columns(template=pl.lit("r1"))
    with pytest.raises(ValueError, match="'native'"):
        run(organism, None, rollouts=other)
    with pytest.raises(ValueError, match="at least 1"):
        run(organism, None, continuations=0)


def test_a_short_budget_leaves_out_what_has_no_room(organism: Any) -> None:
    sampling = replace(organism.sampling, max_tokens=20)
    result = run(organism, None, sampling=sampling, continuations=1)
    assert any("no room" in reason for reason, _ in result.left_out)


def test_a_finished_test_is_read_back_as_it_was(organism: Any, tmp_path: Path) -> None:
    assert read_causal(tmp_path) is None
    result = run(organism, tmp_path)
    assert repr(read_causal(tmp_path)) == repr(result)
    next((tmp_path / "causal").glob("part-banned-*.parquet")).unlink()
    assert read_causal(tmp_path) is None  # not all of it


def test_what_placebo_places_still_reflect_is_counted(organism: Any, tmp_path: Path) -> None:
    result = run(organism, tmp_path, continuations=6)
    rows = pl.concat([pl.read_parquet(path) for path in (tmp_path / "causal").glob("*.parquet")])
    kept = rows.filter(kind="placebo", arm="kept")
    assert result.later.estimate == kept["cued"].mean()
    assert 0 < result.later.estimate < 1
