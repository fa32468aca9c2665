"""What runs inside vLLM's own processes: taking new weights, and masking what may not be sampled.

vLLM loads these classes by name (`worker_extension_cls`, `logits_processors`); nothing here is called from r1zero.

Letters: N running requests, V vocabulary, W window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from r1zero.engines.banned import NOTHING, BanTable
from r1zero.engines.vllm_settings import read_banned
from r1zero.engines.weight_file import read_weights
from r1zero.models.logprobs import FORBIDDEN

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig


class WeightReceiver:
    """Becomes a base class of vLLM's worker, of which there is one for each GPU."""

    def load_weight_file(self, path: str) -> int:
        """Take every weight of this file (r1zero.engines.weight_file); returns how many there were."""
        count = 0

        def weights() -> Any:
            nonlocal count
            for name, tensor in read_weights(path):
                count += 1
                yield name, tensor

        self.reload_weights(weights_iterator=weights())  # type: ignore[attr-defined]
        for layer in self.model_runner.get_model().modules():  # type: ignore[attr-defined]
            if isinstance(layer, VocabParallelEmbedding):
                # Without a GPU an output head multiplies by a packed copy, which vLLM forgets where it is tied.
                layer.quant_method.process_weights_after_loading(layer)
        return count


class Mask(LogitsProcessor):
    """Logits without the rows that the tokenizer lacks, the ids that stand for pictures, and what a request bans."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        settings = vllm_config.additional_config
        self.vocab_size = int(settings["r1zero_vocab_size"])
        self.forbidden = torch.tensor(settings["r1zero_forbidden"], dtype=torch.long, device=device)
        self.device = device
        self.tables: dict[str, BanTable] = {}
        self.banned: dict[int, tuple[str, list[int], list[int]]] = {}  # of a row: its bans, prompt and response so far

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is None:
            return
        for row in batch_update.removed:
            self.banned.pop(row, None)
        for row, parameters, prompt_ids, response_ids in batch_update.added:
            self._enter(row, parameters, prompt_ids or [], response_ids)
        for a, b, direction in batch_update.moved:
            was_a, was_b = self.banned.pop(a, None), self.banned.pop(b, None)
            if was_a is not None:
                self.banned[b] = was_a
            if was_b is not None and direction is MoveDirectionality.SWAP:
                self.banned[a] = was_b
        wanted = {text for text, _, _ in self.banned.values()}
        self.tables = {text: self._table(text) for text in wanted}

    def apply(self, logits: Tensor) -> Tensor:
        logits[:, self.vocab_size :] = -torch.inf
        if len(self.forbidden):
            logits[:, self.forbidden] = FORBIDDEN
        for row, (text, prompt_ids, response_ids) in self.banned.items():
            table = self.tables[text]
            recent = [NOTHING] * table.window + prompt_ids[-table.window :] + response_ids[-table.window :]
            recent_1W = torch.tensor([recent[-table.window :]], device=self.device)
            table.apply(logits[row : row + 1], recent_1W)
        return logits

    def _enter(self, row: int, parameters: SamplingParams, prompt_ids: list[int], response_ids: list[int]) -> None:
        text = (parameters.extra_args or {}).get("banned", "")
        if text:
            self.banned[row] = (text, prompt_ids, response_ids)
        else:
            self.banned.pop(row, None)

    def _table(self, text: str) -> BanTable:
        return self.tables.get(text) or BanTable(read_banned(text), self.vocab_size, self.device)
