"""TRL's losses under audit, by running TRL's own code.

A GRPOTrainer is built around a one-layer model with random weights, and two of its steps are replaced: sampling hands
it responses of the lengths we choose, grading the rewards we choose, and the model's log-probabilities are a tensor of
ours.  What TRL computes from them is left alone: `_generate_and_score_completions` makes the advantages and counts the
tokens, `_compute_loss` is called on each micro-batch.  Everything is float64.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import io
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from r1zero.audit.batch import LossUnderAudit, ProbeBatch, pushed_up, split_rows
from r1zero.audit.own import ObjectiveUnderAudit
from r1zero.audit.probes import mixed_batch
from r1zero.audit.resemblance import off_policy
from r1zero.objectives import OBJECTIVES, Objective

TOKEN = 1  # what every sampled token is; the model is never run
TRL_EPS, OWN_EPS = 1e-4, 1e-6  # beside the std of the rewards


@dataclass(frozen=True)
class TrlLoss:
    """One setting of TRL's GRPOTrainer (or GMPOTrainer), as its own config names it."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # of GRPOConfig
    trainer: str = "grpo"  # or "gmpo"
    pads_left: bool = False  # TRL pads responses on the right
    note: str = ""

    def token_weights(self, batch: ProbeBatch) -> Tensor:
        parts = batch.parts
        if len({len(rows) for rows in parts}) > 1:
            raise ValueError("TRL's micro-batches are all of one size")
        trainer = _trainer(self.trainer, tuple(sorted(self.settings.items())), batch.group_size, batch.max_tokens)
        trainer.args.gradient_accumulation_steps = trainer.args.steps_per_generation = len(parts)
        trainer.current_gradient_accumulation_steps = len(parts)
        with _quiet():
            step = _scored(trainer, batch)
            return pushed_up(batch, functools.partial(_loss, trainer, step, batch.old_logprobs()))


@dataclass(frozen=True)
class Counterpart:
    """A row of the table, and the setting of TRL that should do the same."""

    objective: Objective
    trl: TrlLoss
    note: str = ""  # what is known to differ by definition


def _counterpart(name: str, note: str = "", trainer: str = "grpo", **settings: Any) -> Counterpart:
    return Counterpart(OBJECTIVES[name], TrlLoss(f"trl {name}", settings, trainer), note)


COUNTERPARTS: tuple[Counterpart, ...] = (
    _counterpart("grpo", loss_type="grpo"),
    _counterpart("grpo_no_std", loss_type="grpo", scale_rewards="none"),
    _counterpart("grpo_no_length", loss_type="dr_grpo", scale_rewards="group"),
    _counterpart("dr_grpo", loss_type="dr_grpo", scale_rewards="none"),
    _counterpart("dapo", loss_type="dapo", epsilon_high=0.28),
    _counterpart("bnpo", loss_type="bnpo"),
    _counterpart("gspo", loss_type="grpo", importance_sampling_level="sequence", epsilon=3e-4, epsilon_high=4e-4),
    _counterpart("luspo", loss_type="luspo", importance_sampling_level="sequence", epsilon=3e-4, epsilon_high=4e-4),
    _counterpart(
        "cispo",
        "TRL bounds the ratio itself (5), r1zero names its distance from 1 (4)",
        loss_type="cispo",
        epsilon_high=5.0,
    ),
    _counterpart("sapo", loss_type="sapo"),
    _counterpart("gmpo", "trl.experimental", trainer="gmpo"),
)
TRL_ALONE = (TrlLoss("trl vespo", {"loss_type": "vespo"}),)


# ---------------------------------------------------------------------------------------------------------------------
# Comparison


@dataclass(frozen=True)
class Agreement:
    """How far r1zero's token weights are from TRL's, as a share of the largest, over all comparisons of a kind."""

    objective: str
    settings: str  # TRL's, in words
    on_policy: float
    off_policy: float
    split: float  # in two micro-batches
    explained: float  # what is left of all of them once the constant beside the std is TRL's
    note: str = ""
    failure: str = ""  # why it could not be run

    @property
    def verdict(self) -> str:
        """ "agrees", "agrees but for eps", or "differs"."""
        if self.failure:
            return f"not run: {self.failure}"
        worst = max(self.on_policy, self.off_policy, self.split)
        if worst < 1e-6:
            return "agrees"
        if self.explained < 1e-6:
            return "agrees but for eps (TRL 1e-4, r1zero 1e-6)"
        return f"differs by {self.explained:.1g}"


def compare_with_trl(
    group_size: int, max_tokens: int, names: Sequence[str] | None = None
) -> tuple[list[Agreement], list[str]]:
    """Each objective both have, on the same batches; and the rows that TRL has no counterpart for."""
    chosen = [pair for pair in COUNTERPARTS if names is None or pair.objective.name in names]
    paired = {pair.objective.name for pair in COUNTERPARTS}
    without = [name for name in names or OBJECTIVES if name not in paired]
    return [agreement(pair, group_size, max_tokens) for pair in chosen], without


def agreement(pair: Counterpart, group_size: int, max_tokens: int) -> Agreement:
    """Token weights of both on a step of mixed rewards and lengths: on policy, off policy, and cut in two."""
    shown = ", ".join(f"{key}={value}" for key, value in pair.trl.settings.items()) or f"defaults of {pair.trl.trainer}"
    batch = mixed_batch(group_size, max_tokens)
    kinds = (
        batch,
        off_policy(batch),
        replace(batch, microbatches=split_rows(batch.size[0], 2)),
    )
    own = ObjectiveUnderAudit(pair.objective)
    try:
        weights = [(probe, pair.trl.token_weights(probe), own.token_weights(probe)) for probe in kinds]
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:  # TRL refuses, or has changed
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        return Agreement(own.name, shown, math.nan, math.nan, math.nan, math.nan, pair.note, text)
    gaps = [_gap(theirs_BT, ours_BT) for _, theirs_BT, ours_BT in weights]
    rest = [_gap(theirs_BT, _with_their_eps(ours_BT, probe, pair.objective)) for probe, theirs_BT, ours_BT in weights]
    return Agreement(own.name, shown, gaps[0], gaps[1], gaps[2], max(rest), pair.note)


def losses_of_trl(names: Sequence[str] | None = None) -> list[LossUnderAudit]:
    """TRL's settings for the rows named (all, with what r1zero lacks), to be audited like any loss."""
    found: list[LossUnderAudit] = [p.trl for p in COUNTERPARTS if names is None or p.objective.name in names]
    return found if names is not None else [*found, *TRL_ALONE]


def trl_version() -> str:
    """Raises ValueError naming the extra to install where TRL is missing."""
    for package in ("trl", "accelerate", "datasets"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"--against trl needs the package {package}: pip install 'r1zero[bench]'")
    return importlib.metadata.version("trl")


def _gap(theirs_BT: Tensor, ours_BT: Tensor) -> float:
    return float((theirs_BT - ours_BT).abs().max() / theirs_BT.abs().max())


def _with_their_eps(ours_BT: Tensor, batch: ProbeBatch, objective: Objective) -> Tensor:
    """Our weights as they would be with TRL's constant beside the std of the group's rewards."""
    if not objective.divide_by_std:
        return ours_BT
    std_P = batch.rewards_PG.std(-1)
    factor_P = (std_P + OWN_EPS) / (std_P + TRL_EPS)
    return ours_BT * factor_P.repeat_interleave(batch.group_size)[:, None]


# ---------------------------------------------------------------------------------------------------------------------
# TRL's own code on our tensors


def _loss(
    trainer: Any, step: Mapping[str, Tensor], old_BT: Tensor, rows: tuple[int, ...], logprobs_BT: Tensor
) -> Tensor:
    """`_compute_loss` on one micro-batch, with our leaf as its log-probabilities."""
    at = list(rows)
    inputs = {key: value if value.dim() == 0 else value[at] for key, value in step.items()}
    trainer.scored_logprobs_BT = logprobs_BT
    return trainer._compute_loss(trainer.model, inputs | {"old_per_token_logps": old_BT[at]})


def _scored(trainer: Any, batch: ProbeBatch) -> dict[str, Tensor]:
    """What TRL makes of the step's rewards and lengths before it splits it, padded to the batch's width."""
    trainer.chosen_lengths = [int(length) for length in batch.lengths_PG.flatten()]
    trainer.chosen_rewards_B = batch.rewards_PG.flatten()
    step = trainer._generate_and_score_completions([{"prompt": "?"}] * batch.rewards_PG.numel())
    for key in ("completion_ids", "completion_mask"):
        step[key] = torch.nn.functional.pad(step[key], (0, batch.width - step[key].shape[1]))
    return step


@functools.lru_cache(maxsize=64)
def _trainer(kind: str, settings: tuple[tuple[str, Any], ...], group_size: int, max_tokens: int) -> Any:
    """A trainer of TRL around a model of one layer; its sampling, grading and scoring are ours."""
    trl_version()
    with _quiet():
        from datasets import Dataset
        from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

        from r1zero.models.load import resolve_model

        trainer_type, config_type = _types(kind)
        tokenizer = AutoTokenizer.from_pretrained(resolve_model("tiny-search"))
        model = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=len(tokenizer),
                hidden_size=8,
                intermediate_size=8,
                num_hidden_layers=1,
                num_attention_heads=1,
                num_key_value_heads=1,
            )
        )
        trainer = trainer_type(
            model=model,
            processing_class=tokenizer,
            reward_funcs=_never_called,
            train_dataset=Dataset.from_dict({"prompt": ["?"]}),
            args=config_type(
                output_dir=tempfile.gettempdir(),
                per_device_train_batch_size=group_size,
                num_generations=group_size,
                max_completion_length=max_tokens,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                **dict(settings),
            ),
        )
        trainer.model.train()
    return trainer


def _types(kind: str) -> tuple[type, type]:
    """The trainer with its model's part replaced, and its config's class."""
    if kind == "gmpo":
        from trl.experimental.gmpo import GMPOConfig as Config
        from trl.experimental.gmpo import GMPOTrainer as Trainer
    else:
        from trl import GRPOConfig as Config
        from trl import GRPOTrainer as Trainer

    class Scripted(Trainer):
        """Samples, grades and scores what it is told; everything else is TRL's."""

        def _generate(self, prompts: list) -> tuple:
            responses = [[TOKEN] * length for length in self.chosen_lengths]
            return [[TOKEN] for _ in prompts], responses, None, ["" for _ in prompts], None, {}, None, None

        def _calculate_rewards(self, *_: object) -> Tensor:
            return self.chosen_rewards_B[:, None]

        def _get_per_token_logps_and_entropies(self, *_: object, **__: object) -> tuple[Tensor, Tensor, None]:
            return self.scored_logprobs_BT, torch.zeros_like(self.scored_logprobs_BT), None

    return Scripted, Config


def _never_called(**_: object) -> list[float]:
    raise RuntimeError("the audit sets rewards itself")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TRL's warnings about settings that are chosen here on purpose."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
