"""How undecided the policy was before each token of a response: one forward pass over the whole sequence.

Letters: N tokens in a flat row, M response tokens, T tokens of one response, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from r1zero.models.attention import hidden_states
from r1zero.models.load import Policy
from r1zero.models.logprobs import head_of, token_logprobs
from r1zero.models.packing import Tree, pack
from r1zero.models.vision import features_of

MOST_TOKENS = 8192  # read in one forward pass


@torch.inference_mode()
def entropies(policy: Policy, trees: Sequence[Tree], temperature: float) -> list[np.ndarray]:
    """Entropy in nats of the distribution each response token was drawn from, one [T] a response, trees in order.

    At temperature 0, the entropy at temperature 1.  Top-p and top-k are not applied.
    """
    head, model = head_of(policy), policy.model
    was_training = model.training
    model.eval()
    found: list[np.ndarray] = []
    try:
        for chunk in _chunks(trees):
            packed = pack(chunk, policy.device)
            features_FD = features_of(policy.vision, model, packed.sights)
            ids_N, positions = packed.input_ids_N, packed.position_ids_N
            hidden_ND = hidden_states(model, ids_N, positions, packed, features_FD, packed.at_F)
            _, entropy_M = token_logprobs(
                head, hidden_ND[packed.predicting_M], packed.target_ids_M, temperature=temperature or 1.0
            )
            lengths = [len(response) for tree in chunk for response in tree.responses]
            found += [part.cpu().numpy() for part in entropy_M.split(lengths)]
    finally:
        model.train(was_training)
    return found


def _chunks(trees: Sequence[Tree]) -> list[list[Tree]]:
    """Consecutive trees of at most MOST_TOKENS tokens together, at least one each."""
    chunks: list[list[Tree]] = []
    total = MOST_TOKENS + 1
    for tree in trees:
        if total + tree.num_tokens > MOST_TOKENS:
            chunks.append([])
            total = 0
        chunks[-1].append(tree)
        total += tree.num_tokens
    return chunks
