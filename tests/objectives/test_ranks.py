"""Two processes with half of the groups each give the gradient of one process with all of them.

The counts are gathered before anything is split (advantages, weights), the gradients added up after; both over gloo.
Run with arguments this file is one of the two processes.

Letters: P problems, G responses to each, B = P G, T tokens, V vocabulary.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from r1zero.objectives import OBJECTIVES, BatchSize, Objective, TokenBatch

RANKS, P, G, T, V = 2, 4, 3, 6, 5


@dataclass(frozen=True)
class Responses:
    """Bigram data: every token with the row of the policy that it is drawn from; the padding holds tokens, too."""

    tokens_BT: Tensor
    contexts_BT: Tensor
    mask_BT: Tensor
    rewards_B: Tensor

    def of(self, rank: int, ranks: int) -> "Responses":
        """The groups of one rank."""
        rows = slice(rank * P * G // ranks, (rank + 1) * P * G // ranks)
        return Responses(self.tokens_BT[rows], self.contexts_BT[rows], self.mask_BT[rows], self.rewards_B[rows])


@dataclass(frozen=True)
class Policies:
    """Logits [V + 1, V] of the learner, of where its update began, of the sampler and the reference; and a critic."""

    logits: Tensor
    old: Tensor
    sampler: Tensor
    reference: Tensor
    values: Tensor  # [V + 1], by what came before


def make_step() -> tuple[Responses, Policies]:
    generator = torch.Generator().manual_seed(11)
    tokens = torch.randint(V, (P * G, T), generator=generator)
    contexts = torch.cat([torch.full((P * G, 1), V), tokens[:, :-1]], 1)
    lengths = torch.tensor([1, 6, 2, 3, 0, 5, 4, 4, 1, 2, 6, 6])  # very different on the two ranks; one is empty
    mask = (torch.arange(T) < lengths[:, None]).double()
    rewards = torch.tensor([1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0.1, 0], dtype=torch.float64)  # the third group is idle

    def drawn(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(shape, dtype=torch.float64, generator=generator)

    logits = drawn(1.0, V + 1, V)
    others = [logits + drawn(0.15, V + 1, V) for _ in range(3)]
    return Responses(tokens, contexts, mask, rewards), Policies(logits, *others, drawn(0.5, V + 1))


def variant(name: str) -> Objective:
    """The row with every term that a loss can have."""
    return replace(OBJECTIVES[name], kl_coef=0.1, correction="token_truncate", entropy_coef=0.01)


def gathered(own: Tensor, ranks: int) -> Tensor:
    """Every rank's rows, in the order of the ranks."""
    if ranks == 1:
        return own
    parts = [torch.empty_like(own) for _ in range(ranks)]
    dist.all_gather(parts, own.contiguous())
    return torch.cat(parts)


def step_gradient(objective: Objective, own: Responses, policies: Policies, rank: int, ranks: int, parts: int = 1):
    """The gradient of the step's loss in logits and critic, added up over ranks; `parts` micro-batches on each."""
    logits, critic = (x.clone().requires_grad_() for x in (policies.logits, policies.values))
    values = gathered(policies.values[own.contexts_BT], ranks)
    rewards, mask = gathered(own.rewards_B, ranks), gathered(own.mask_BT, ranks)
    lengths = mask.sum(-1).reshape(-1, G)
    size = BatchSize(len(rewards), int(mask.sum()), T)
    if objective.by_token:
        advantages_BT = objective.token_advantages(rewards, mask, values)
        weights_B = objective.weights(lengths, torch.zeros_like(lengths), size).flatten()
    else:
        advantages = objective.advantages(rewards.reshape(-1, G), lengths, values[:, 0].reshape(-1, G))
        advantages_BT = advantages.reshape(-1, 1).expand(-1, T)
        weights_B = objective.weights(lengths, advantages, size).flatten()
    count, first = len(own.rewards_B), rank * len(own.rewards_B)
    for start in range(0, count, count // parts):
        here, there = slice(start, start + count // parts), slice(first + start, first + start + count // parts)

        def logprobs(table: Tensor, here=here) -> Tensor:
            return table.log_softmax(-1)[own.contexts_BT[here], own.tokens_BT[here]]

        distribution = logits.log_softmax(-1)[own.contexts_BT[here]]
        tokens = TokenBatch(
            logprobs_BT=logprobs(logits),
            old_logprobs_BT=logprobs(policies.old),
            mask_BT=own.mask_BT[here],
            advantages_BT=advantages_BT[there],
            weights_B=weights_B[there],
            sampler_logprobs_BT=logprobs(policies.sampler),
            reference_logprobs_BT=logprobs(policies.reference),
            entropies_BT=-(distribution.exp() * distribution).sum(-1),
            entropy_bonus=0.01,
            num_microbatches=ranks * parts,
        )
        if objective.critic:
            tokens = replace(
                tokens,
                values_BT=critic[own.contexts_BT[here]],
                old_values_BT=values[there],
                value_targets_BT=rewards[there, None].expand(-1, T),
                value_weights_BT=torch.full_like(own.mask_BT[here], 1 / size.num_tokens),
            )
        objective.loss(tokens)[0].backward()
    flat = torch.cat([logits.grad.flatten(), critic.grad if critic.grad is not None else torch.zeros_like(critic)])
    if ranks > 1:
        dist.all_reduce(flat)
    return flat


@pytest.fixture(scope="module")
def of_two_ranks(tmp_path_factory) -> dict[str, list[float]]:
    """The gradient of every row as two processes found it, together."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if OBJECTIVES[name].normalizer != "microbatch_tokens"])
def test_two_ranks_give_the_gradient_of_one(of_two_ranks, name):
    responses, policies = make_step()
    whole = step_gradient(variant(name), responses, policies, 0, 1)
    assert whole.abs().max() > 1e-3
    together = torch.tensor(of_two_ranks[name], dtype=torch.float64)
    torch.testing.assert_close(together, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("parts", [2, 3, 6])
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if OBJECTIVES[name].normalizer != "microbatch_tokens"])
def test_any_number_of_micro_batches_gives_the_gradient_of_one(name, parts):
    """Six cut groups in the middle: their advantages were known before."""
    responses, policies = make_step()
    whole = step_gradient(variant(name), responses, policies, 0, 1)
    split = step_gradient(variant(name), responses, policies, 0, 1, parts)
    torch.testing.assert_close(split, whole, rtol=0, atol=1e-12)


def test_a_mean_over_micro_batch_tokens_depends_on_the_split_alone(of_two_ranks):
    """The declared exception: two ranks are two micro-batches, and two are not one."""
    responses, policies = make_step()
    together = torch.tensor(of_two_ranks["bnpo"], dtype=torch.float64)
    split = step_gradient(variant("bnpo"), responses, policies, 0, 1, 2)
    torch.testing.assert_close(together, split, rtol=0, atol=1e-12)
    whole = step_gradient(variant("bnpo"), responses, policies, 0, 1)
    assert (together - whole).abs().max() > 1e-3


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "bnpo"])
def test_averaging_ranks_that_count_for_themselves_is_right_only_without_counts_of_the_step(name):
    """What the gathering is for: token means, whitening and GPG's share need the whole step; other groups do not."""
    responses, policies = make_step()
    whole = step_gradient(variant(name), responses, policies, 0, 1)
    alone = [step_gradient(variant(name), responses.of(rank, RANKS), policies, 0, 1) for rank in range(RANKS)]
    off = float((sum(alone) / RANKS - whole).abs().max())
    row = OBJECTIVES[name]
    if row.normalizer == "batch_tokens" or row.batch_scale != "none":
        assert off > 1e-3
    else:
        assert off < 1e-12


def main(rank: int, folder: Path) -> None:
    """One of the two processes: writes the summed gradient of every row."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=RANKS)
    responses, policies = make_step()
    own = responses.of(rank, RANKS)
    found = {name: step_gradient(variant(name), own, policies, rank, RANKS).tolist() for name in OBJECTIVES}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
