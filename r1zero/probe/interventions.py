"""Does reflecting cause anything?  Responses are broken off where they begin to reflect, and continued otherwise.

Arms at a response's first cue, and at placebo places without one:
    kept          what stands there stays                      (given as it was, not sampled)
    banned        it is taken away, and no cue of the pool may be sampled from there on
    banned_here   the same for the next HERE tokens only: this reflection is prevented, a later one is not
    filler        neutral words of as many tokens stand there instead
    answer        the answer's opener stands there: answer now
`banned` answers what the reflection from here on is worth, with everything that it leads to; `banned_here` what this
one is worth when the model may still change its mind about it.  At a placebo place the same arms show what banning,
replacing and interrupting do where no cue stood; the difference of differences is what is left for the cue.  Where some
of the kept placebo continuations reflect later (`later`), `banned` takes that away there too, so that what is left
is less than the cue's own effect by about that share; `banned_here` is free of this.

All arms have the same prefix and may be as long in all (`max_tokens` of the whole response): a longer reflection is
paid for by an earlier cut.  Places are conditioned on the policy having begun to reflect by itself, not on the outcome;
every arm, also `kept`, is sampled anew from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from r1zero.config import SamplingConfig
from r1zero.engines import Engine
from r1zero.engines.spellings import cue_sequences
from r1zero.facts.cues import CuePool, find_cues
from r1zero.models.load import Policy, weights_digest
from r1zero.probe.continuations import Bans, Continuation, continue_from
from r1zero.probe.effects import Arm, Contrast, Effect, arms, effects
from r1zero.probe.stored import write_table
from r1zero.probe.trials import PLACE_ARMS, Plan, Trial, make_plan
from r1zero.statistics.intervals import Interval, mean_interval
from r1zero.store import SCHEMA, answer_columns, write_atomically
from r1zero.tasks.templates import Template

HERE = 8  # tokens during which `banned_here` bans
SUMMARY = "causal.json"  # what the parts of a finished test do not say
PART_ROWS = 1024  # continuations in a part, about: what a killed test samples again

AT_CUE = tuple(Contrast(f"kept − {arm}", "cue", "kept", arm) for arm in PLACE_ARMS[1:])
AT_PLACEBO = tuple(Contrast(f"kept − {arm}", "placebo", "kept", arm, in_family=False) for arm in PLACE_ARMS[1:])
CORRECTED = tuple(Contrast(f"kept − {arm}", "cue", "kept", arm, placebo="placebo") for arm in PLACE_ARMS[1:])
INSERTED = tuple(
    Contrast("inserted − nothing", kind, "inserted", "nothing")
    for kind in ("insert_random", "insert_entropy", "insert_end")
)
RECOVERY = Contrast("wrong − untouched", "recovery", "wrong", "untouched")
CONTRASTS = (*AT_CUE, *CORRECTED, *INSERTED, RECOVERY, *AT_PLACEBO)

ARMS = tuple(dict.fromkeys((one.kind, arm) for one in CONTRASTS for arm in (one.arm, one.against)))

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "arm": pl.String,
    "prefix": pl.String,  # the same in all arms of a place
    "depth": pl.Int64,  # tokens kept of the stored response
    "given": pl.Int64,  # tokens written at the place
    "tokens": pl.Int64,  # tokens from the place on, given ones included
    "truncated": pl.Boolean,
    "cued": pl.Boolean,  # whether a cue was sampled
    "entropy": pl.Float64,  # nats, before the place's next token
    "plan": pl.String,  # digest of everything that a part depends on
}
PART_SCHEMA = pl.Schema({**dict(SCHEMA), **_COLUMNS})


@dataclass(frozen=True)
class Balance:
    """How alike cues' places and placebo places are."""

    kind: str
    depth: Interval  # tokens before the place
    entropy: Interval  # nats
    places: int


@dataclass(frozen=True)
class CausalResult:
    """What the interventions came to.  NaN where there was nothing to intervene in."""

    pool: str
    template: str
    responses: int  # that were looked at
    reflecting: int  # of those with a cue
    continuations: int  # of each prefix in each arm
    effects: tuple[Effect, ...]  # in the order of CONTRASTS
    arms: tuple[Arm, ...]
    balance: tuple[Balance, ...]
    inserted: str  # the cue that was inserted: the model's own most frequent one
    tokens: int  # sampled for this test
    left_out: tuple[tuple[str, int], ...]  # reason, how many

    @property
    def leak(self) -> Interval:
        """Share of continuations in which a cue was sampled although banned: spelled as no list has it."""
        found = [arm.cues for arm in self.arms if (arm.kind, arm.name) == ("cue", "banned")]
        return found[0] if found else mean_interval([])

    @property
    def later(self) -> Interval:
        """Share of kept placebo continuations that reflect later on."""
        found = [arm.cues for arm in self.arms if (arm.kind, arm.name) == ("placebo", "kept")]
        return found[0] if found else mean_interval([])


def causal_test(
    policy: Policy,
    engine: Engine,
    template: Template,
    rollouts: pl.DataFrame,
    *,
    prefixes: int,
    continuations: int,
    sampling: SamplingConfig,
    seed: int,
    out: Path | None,
    pool: CuePool,
    on_tokens: Callable[[int], None] | None = None,
) -> CausalResult:
    """Break off up to `prefixes` responses of each kind of place, continue each `continuations` times an arm, compare.

    `rollouts` are responses of this policy to this template under this `sampling`.  Parts are written to OUT/causal as
    they are sampled; those there already are kept when nothing they depend on has changed, so that a killed test
    continues.  Raises ValueError where no response can be broken off.
    """
    if prefixes < 1 or continuations < 1:
        raise ValueError(f"prefixes={prefixes}, continuations={continuations}: must be at least 1")
    plan = make_plan(policy, template, rollouts, prefixes=prefixes, sampling=sampling, seed=seed, pool=pool)
    sequences = cue_sequences(policy.tokenizer, pool)
    bans = {"banned": Bans(sequences), "banned_here": Bans(sequences, for_tokens=HERE)}
    common = [
        *(weights_digest(policy.model), template.source, template.stop, asdict(sampling), continuations, seed),
        *(pool.cues, sequences, HERE),
    ]
    folder = out / "causal" if out is not None else None
    parts = []
    for ban, trials in _chunks(plan.trials, bans, continuations):
        digest = _digest([common, [[t.kind, t.arm, t.prefix.key, t.prefix.kept, t.prefix.given] for t in trials]])
        path = folder / f"part-{ban or 'free'}-{digest[:12]}.parquet" if folder is not None else None
        part = _read_part(path, digest) if path is not None else None
        if part is None:
            continued_PN = continue_from(
                policy,
                engine,
                template,
                [trial.prefix for trial in trials],
                samples=continuations,
                sampling=sampling,
                address=("causal", seed),
                bans=bans.get(ban, Bans()),
                on_tokens=on_tokens,
            )
            part = _part(trials, continued_PN, sampling, seed, pool, digest)
            if path is not None:
                write_table(path, part)
        parts.append(part)
    records = pl.concat(parts) if parts else pl.DataFrame(schema=PART_SCHEMA)
    told: dict[str, Any] = {"template": template.name, "pool": pool.name, "continuations": continuations}
    if out is not None and folder is not None:
        order = list(dict.fromkeys(records["plan"]))
        _forget_others(folder, set(order))
        found = {name: getattr(plan, name) for name in ("responses", "reflecting", "inserted", "left_out")}
        write_atomically(out / SUMMARY, (json.dumps(told | found | {"plans": order}, indent=2) + "\n").encode())
    return summarize(records, plan, **told)


def read_causal(out: Path) -> CausalResult | None:
    """The result of the test whose parts lie in OUT/causal, nothing sampled; None where there is none or not all."""
    if not (out / SUMMARY).is_file():
        return None
    saved = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    plans = saved.pop("plans")
    told = {name: saved.pop(name) for name in ("template", "pool", "continuations")}
    parts: dict[str, pl.DataFrame] = {}
    for path in (out / "causal").glob("part-*.parquet"):
        part = pl.read_parquet(path)
        parts |= dict.fromkeys(part["plan"].unique(), part)
    if any(digest not in parts or parts[digest].schema != PART_SCHEMA for digest in plans):
        return None
    records = pl.concat([parts[digest] for digest in plans]) if plans else pl.DataFrame(schema=PART_SCHEMA)
    return summarize(records, Plan((), **saved), **told)


def summarize(
    records: pl.DataFrame, plan: Plan, *, continuations: int, template: str, pool: str, seed: int = 0
) -> CausalResult:
    """The result of continuations that were sampled; nothing is sampled here."""
    return CausalResult(
        pool,
        template,
        plan.responses,
        plan.reflecting,
        continuations,
        effects(records, CONTRASTS, seed=seed),
        arms(records, ARMS, seed=seed),
        tuple(_balance(records, kind) for kind in ("cue", "placebo")),
        plan.inserted,
        int((records["tokens"] - records["given"]).sum()),
        tuple(sorted(plan.left_out.items())),
    )


def _balance(records: pl.DataFrame, kind: str) -> Balance:
    places = records.filter(pl.col("kind") == kind).unique("prefix", maintain_order=True)
    depth, entropy = (
        mean_interval(places[name].drop_nulls().cast(pl.Float64).drop_nans().to_numpy())
        for name in ("depth", "entropy")
    )
    return Balance(kind, depth, entropy, places.height)


# ---------------------------------------------------------------------------------------------------------------------
# Parts


def _chunks(trials: Sequence[Trial], bans: Container[str], continuations: int) -> Iterator[tuple[str, Sequence[Trial]]]:
    """What is sampled by one call: trials under the same ban ("" for none), about PART_ROWS continuations."""
    size = max(1, PART_ROWS // continuations)
    by_ban: dict[str, list[Trial]] = {}
    for trial in trials:
        by_ban.setdefault(trial.arm if trial.arm in bans else "", []).append(trial)
    for ban, same in by_ban.items():
        yield from ((ban, same[at : at + size]) for at in range(0, len(same), size))


def _part(
    trials: Sequence[Trial],
    continued_PN: Sequence[Sequence[Continuation]],
    sampling: SamplingConfig,
    seed: int,
    pool: CuePool,
    digest: str,
) -> pl.DataFrame:
    """One row a continuation: the columns of a rollout, and those of the intervention."""
    rows = [
        _row(trial, one, pool) | {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}
        for trial, group in zip(trials, continued_PN, strict=True)
        for one in group
    ]
    return pl.DataFrame([row | {"plan": digest} for row in rows], schema=PART_SCHEMA)


def _row(trial: Trial, one: Continuation, pool: CuePool) -> dict[str, object]:
    response = one.response
    return {
        **answer_columns(trial.prefix.prompt, response, one.grade),
        **trial.source.origin,
        "sample": one.sample,
        "kind": trial.kind,
        "arm": trial.arm,
        "prefix": trial.prefix.key,
        "depth": trial.depth,
        "given": len(trial.prefix.given),
        "tokens": one.spent,
        "truncated": response.finish_reason == "length",
        "cued": any(span.start >= one.begins for span in find_cues(response.text, pool)),
        "entropy": trial.entropy,
    }


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()


def _read_part(path: Path, digest: str) -> pl.DataFrame | None:
    """A part sampled before; None where there is none, or one of another form."""
    if not path.is_file():
        return None
    try:
        part = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError):
        return None  # damaged: it is sampled again
    return part if part.schema == PART_SCHEMA and set(part["plan"]) == {digest} else None


def _forget_others(folder: Path, digests: set[str]) -> None:
    """Remove parts of another plan, so that the folder holds one test."""
    names = {digest[:12] for digest in digests}
    for path in folder.glob("part-*.parquet"):
        if path.stem.rsplit("-", 1)[-1] not in names:
            path.unlink()
