"""Adapters: they start as nothing, what they change is all that changes, and merged or not they are the same model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from r1zero.cli.main import main
from r1zero.config import EngineConfig, LearnerConfig, LoraConfig, SamplingConfig, TrainConfig, build, nested
from r1zero.engines import build_engine
from r1zero.models import attention, lora
from r1zero.models.load import Policy, load_policy, save_policy, weights_digest
from r1zero.objectives import OBJECTIVES
from r1zero.probe.targets import find_checkpoints, find_target
from r1zero.records import Problem, Prompt
from r1zero.store import read_metrics
from r1zero.training import train
from r1zero.training.batching import Group
from r1zero.training.credit import weighed
from r1zero.training.learner import Learner
from r1zero.training.reference import initial_reference

LORA = LoraConfig(rank=4, alpha=8.0)
LEARNER = LearnerConfig(lr=5e-2, dtype="float32", device="cpu", max_grad_norm=0.0)
GRPO = replace(OBJECTIVES["grpo"], kl_coef=0.04)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def policy(model_dir: Path) -> Policy:
    return load_policy(str(model_dir), "cpu")


def adapted(policy: Policy, config: LoraConfig = LORA, base: str = "base", seed: int = 0) -> Policy:
    lora.adapt(policy, config, base=base, freeze="none", seed=seed)
    return policy


def sampled(policy: Policy, samples: int = 4, engine: Literal["fast", "huggingface"] = "fast") -> list[Group]:
    texts = ["Numbers: 3, 8, 5\nTarget: 23\n", "Target: 2\n"]
    prompts = [
        Prompt(Problem(f"p{i}", "test", text, ""), "none", text, tuple(policy.tokenizer.encode(text)))
        for i, text in enumerate(texts)
    ]
    responses_PG = build_engine(EngineConfig(name=engine), policy).generate(
        prompts, samples=samples, sampling=SamplingConfig(max_tokens=12), address=(1,)
    )
    groups = [
        Group(
            prompt.problem.id,
            prompt.token_ids,
            responses=tuple(r.token_ids for r in responses),
            advantages=tuple((-1.0) ** g for g in range(samples)),
            sampler_logprobs=tuple(r.logprobs for r in responses),
        )
        for prompt, responses in zip(prompts, responses_PG, strict=True)
    ]
    return weighed(groups, GRPO, 12)


def flat(rows: list[Group], name: str) -> list[float]:
    return [x for group in rows for row in getattr(group, name) for x in row]


def trained(policy: Policy, steps: int = 3, **options: bool) -> Learner:
    learner = Learner(policy, LEARNER, num_updates=steps, with_reference=True, **options)
    for _ in range(steps):
        learner.update(sampled(policy), GRPO.loss)
    return learner


def test_an_adapted_model_starts_as_the_model_itself_to_the_bit(policy: Policy) -> None:
    groups = sampled(policy)
    before = Learner(policy, LEARNER, num_updates=1).score(groups)
    after = Learner(adapted(policy), LEARNER, num_updates=1).score(groups)
    assert flat(before, "old_logprobs") == flat(after, "old_logprobs")
    assert flat(sampled(policy), "sampler_logprobs") == flat(groups, "sampler_logprobs")


def test_only_adapters_learn_and_the_models_own_weights_stay_to_the_bit(policy: Policy) -> None:
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    digest = weights_digest(policy.model)
    adapted(policy)
    learner = trained(policy)
    assert {id(p) for p in learner.parameters} == {id(p) for p in lora.adapter_weights(policy.model).values()}
    own = {
        name.replace(".base_layer.", "."): weight
        for name, weight in policy.model.state_dict().items()
        if ".lora_" not in name
    }
    assert own.keys() == before.keys()
    assert all(torch.equal(own[name], weight) for name, weight in before.items())
    assert all(weight.abs().max() > 0 for weight in lora.adapter_weights(policy.model).values())
    assert weights_digest(policy.model) == digest
    assert dict(lora.merged(policy.model, policy.model.state_dict())).keys() == before.keys()


def test_what_was_sampled_is_what_is_scored_after_training(policy: Policy) -> None:
    learner = trained(adapted(policy))
    of_engine = {name: sampled(policy, engine=name) for name in ("fast", "huggingface")}
    for groups in of_engine.values():
        assert flat(learner.score(groups), "old_logprobs") == pytest.approx(flat(groups, "sampler_logprobs"), abs=1e-5)
    assert flat(of_engine["fast"], "responses") == flat(of_engine["huggingface"], "responses")


def test_the_reference_is_the_model_without_its_adapter(policy: Policy, model_dir: Path) -> None:
    plain = load_policy(str(model_dir), "cpu")
    learner = trained(adapted(policy))
    groups = sampled(policy)
    scored = learner.score(groups)
    base = Learner(plain, LEARNER, num_updates=1).score(groups)
    assert flat(scored, "reference_logprobs") == flat(base, "old_logprobs")
    assert max(abs(a - b) for a, b in zip(flat(scored, "old_logprobs"), flat(base, "old_logprobs"), strict=True)) > 0.01
    assert learner.reference is not None and learner.reference.model is policy.model  # no second copy
    learner.refresh_reference()
    fresh = learner.score(groups)
    assert flat(fresh, "reference_logprobs") == flat(fresh, "old_logprobs")
    learner.update(groups, GRPO.loss)
    assert flat(learner.score(groups), "reference_logprobs") == flat(fresh, "old_logprobs")  # it stays behind
    restored = initial_reference(policy).restored(learner.state_dict()["reference"])
    assert all(torch.equal(restored.state_dict()[n], w) for n, w in learner.reference.state_dict().items())


@pytest.mark.parametrize("how", ["memory", "micro-batches"])
def test_how_it_is_computed_does_not_change_the_gradient(how: str, model_dir: Path) -> None:
    """Recomputed activations, and a batch cut small, while the reference is looked at between forward and backward."""
    caught = []
    for changed in (False, True):
        policy = adapted(load_policy(str(model_dir), "cpu"))
        with torch.no_grad():
            for name, weight in lora.adapter_weights(policy.model).items():
                if ".lora_B." in name:
                    weight.copy_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))))
        config = replace(LEARNER, tokens_per_microbatch=20) if changed and how == "micro-batches" else LEARNER
        learner = Learner(
            policy, config, num_updates=1, with_reference=True, gradient_checkpointing=changed and how == "memory"
        )
        groups, kept = sampled(policy), {}
        learner.optimizer.register_step_pre_hook(
            lambda *_, kept=kept, policy=policy: kept.update(
                {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
            )
        )
        learner.update(groups, GRPO.loss)
        caught.append(kept)
    plain, again = caught
    assert plain.keys() == again.keys() == lora.adapter_weights(policy.model).keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_the_gradient_is_that_of_the_merged_weights_by_the_chain_rule(model_dir: Path) -> None:
    """W' = W + s B A, so dL/dB = s dL/dW' A^T and dL/dA = s B^T dL/dW'."""
    policy = adapted(load_policy(str(model_dir), "cpu"), LoraConfig(rank=4, alpha=8.0, targets=("q_proj",)))
    with torch.no_grad():
        for name, weight in lora.adapter_weights(policy.model).items():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))))
    whole = load_policy(str(model_dir), "cpu")
    whole.model.load_state_dict(dict(lora.merged(policy.model, policy.model.state_dict())), strict=False)
    groups, caught = sampled(whole), []
    for one in (policy, whole):
        learner, kept = Learner(one, LEARNER, num_updates=1), {}
        learner.optimizer.register_step_pre_hook(
            lambda *_, kept=kept, one=one: kept.update(
                {n: p.grad.clone() for n, p in one.model.named_parameters() if p.grad is not None}
            )
        )
        values = {n: p.detach().clone() for n, p in lora.adapter_weights(one.model).items()}
        learner.update(groups, GRPO.loss)
        caught.append((kept, values))
    (ours, values), (theirs, _) = caught
    for layer in (0, 1):
        name = f"model.layers.{layer}.self_attn.q_proj"
        a, b = f"{name}.lora_A.default.weight", f"{name}.lora_B.default.weight"
        of_whole = theirs[f"{name}.weight"]
        scale = 8.0 / 4
        torch.testing.assert_close(ours[b], scale * of_whole @ values[a].T, atol=1e-6, rtol=1e-3)
        torch.testing.assert_close(ours[a], scale * values[b].T @ of_whole, atol=1e-6, rtol=1e-3)


def test_merged_beside_and_opened_by_others_it_is_the_same_model(
    policy: Policy, model_dir: Path, tmp_path: Path
) -> None:
    adapted(policy, base=str(model_dir))
    trained(policy)
    ids = torch.tensor([policy.tokenizer.encode("Numbers: 3, 8, 5\nTarget: 23\n")])
    with torch.no_grad():
        expected = policy.model(input_ids=ids).logits
    save_policy(policy, tmp_path / "model")
    lora.write_adapter(policy.model, tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size < 60_000
    attention.register()
    base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    others = {
        "merged": AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32),
        "peft": PeftModel.from_pretrained(base, tmp_path / "adapter"),
        "transformers": AutoModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=torch.float32),
        "ours": load_policy(str(tmp_path / "adapter"), "cpu").model,
    }
    for name, model in others.items():
        with torch.no_grad():
            torch.testing.assert_close(model(input_ids=ids).logits, expected, atol=1e-5, rtol=1e-5, msg=name)
    assert not lora.is_adapted(others["merged"])


def test_adapters_start_from_the_seed_alone(model_dir: Path) -> None:
    one, same, other = (adapted(load_policy(str(model_dir), "cpu"), seed=seed) for seed in (0, 0, 1))
    torch.manual_seed(5)
    later = adapted(load_policy(str(model_dir), "cpu"), seed=0)
    state = torch.get_rng_state()
    adapted(load_policy(str(model_dir), "cpu"), seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from the stream
    first = lora.adapter_weights(one.model)
    for name, weight in first.items():
        assert torch.equal(weight, lora.adapter_weights(same.model)[name])
        assert torch.equal(weight, lora.adapter_weights(later.model)[name])
        if ".lora_A." in name:
            assert not torch.equal(weight, lora.adapter_weights(other.model)[name])
            assert weight.abs().max() <= weight.shape[1] ** -0.5


def test_layers_are_named_by_their_last_words(model_dir: Path) -> None:
    policy = adapted(load_policy(str(model_dir), "cpu"), replace(LORA, targets=("q_proj", "1.mlp.down_proj")))
    layers = {name.split(".lora_")[0] for name in lora.adapter_weights(policy.model)}
    assert layers == {
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.down_proj",
    }
    every = adapted(load_policy(str(model_dir), "cpu"))
    assert len(lora.adapter_weights(every.model)) == 2 * 2 * 7
    for wrong, near in (("qproj", "q_proj"), ("q_proj.", "q_proj"), ("lm_head", "choose from|did you mean")):
        with pytest.raises(ValueError, match=rf"lora\.targets='{wrong}': no linear layer.*({near})"):
            adapted(load_policy(str(model_dir), "cpu"), replace(LORA, targets=(wrong,)))
    with pytest.raises(ValueError, match=r"learner\.freeze='vision'.*does not see"):
        lora.adapt(load_policy(str(model_dir), "cpu"), LORA, base="x", freeze="vision", seed=0)


def test_settings_without_meaning_are_refused() -> None:
    for settings, said in (
        ({"rank": -1}, "lora.rank=-1"),
        ({"alpha": 0.0}, "lora.alpha=0.0"),
        ({"dropout": 0.1}, "lora.dropout=0.1: must be 0, since what is sampled is what is scored"),
        ({"targets": ()}, "lora.targets"),
    ):
        with pytest.raises(ValueError, match=said):
            build(LoraConfig, settings)


def test_a_missing_peft_is_told_by_its_extra(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ValueError, match=r"pip install 'r1zero\[lora\]'"):
        adapted(policy)


def config_of(folder: Path, base: Path, **overrides: object) -> TrainConfig:
    return build(TrainConfig, nested({
        "steps": 4, "problems_per_step": 3, "responses_per_problem": 6, "model.path": str(base),
        "run.dir": str(folder / "run"), "run.threads": 1, "reward.per_token": 0.01,
        "sampling.max_tokens": 96, "evaluation.num_problems": 4, "evaluation.max_tokens": 24, "evaluation.every": 1,
        "checkpoint.every": 1, "checkpoint.keep": 9, "learner.lr": 1e-2, "learner.dtype": "float32",
        "learner.device": "cpu", "lora.rank": 4, "objective.kl_coef": 0.02, "objective.reference_every": 2,
        "model.gradient_checkpointing": True,
    } | overrides))  # fmt: skip


def timeless(run_dir: Path) -> list[str]:
    return [json.dumps({k: v for k, v in row.items() if not k.startswith("speed/")}) for row in read_metrics(run_dir)]


def test_a_run_is_continued_bit_for_bit_from_its_adapter(model_dir: Path, tmp_path: Path) -> None:
    whole = train(config_of(tmp_path / "whole", model_dir))
    assert whole.finished
    assert all(row["policy/sampler_gap_max"] < 1e-5 for row in read_metrics(whole.dir)[1:])
    assert all(row["grad/norm"] > 0 for row in read_metrics(whole.dir)[1:])
    for stop in (1, 3):  # before and after the reference has moved
        folder = tmp_path / f"part{stop}"
        train(config_of(folder, model_dir, steps=stop))
        held = folder / "run" / "checkpoints" / f"step-{stop:06d}" / "model"
        assert {path.name for path in held.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
        assert not (held / "config.json").exists()  # the model's own weights are not written again and again
        train(config_of(folder, model_dir))
        assert timeless(folder / "run") == timeless(whole.dir)
    assert [checkpoint.step for checkpoint in find_checkpoints(whole.dir)] == [0, 1, 2, 3, 4]
    assert find_target(str(whole.dir / "adapter")).kind == "model"
    ours = load_policy(str(whole.dir / "model"), "cpu").model.state_dict()
    for other in (
        load_policy(str(whole.dir / "adapter"), "cpu"),
        load_policy(str(held.parents[1] / "step-000004" / "model"), "cpu"),
    ):
        for name, weight in other.model.state_dict().items():
            torch.testing.assert_close(weight, ours[name], atol=1e-6, rtol=1e-5)


def test_an_adapter_is_not_continued_on_another_model(model_dir: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    policy = load_policy(str(model_dir), "cpu")
    save_policy(policy, base)
    train(config_of(tmp_path, base, steps=1))
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.mul_(1.5)
    save_policy(policy, base)
    with pytest.raises(ValueError, match="an adapter to another model than"):
        train(config_of(tmp_path, base))


def test_the_adapters_to_a_damaged_or_nameless_model_are_told(policy: Policy, model_dir: Path, tmp_path: Path) -> None:
    adapted(policy, base=str(model_dir))
    place = tmp_path / "adapter"
    lora.write_adapter(policy.model, place)
    config = json.loads((place / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ValueError, match="does not say which model it belongs to"):
        load_policy(str(place), "cpu")
    (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "tiny-serch"}))
    with pytest.raises(ValueError, match=r"no model 'tiny-serch'.*tiny-search"):
        load_policy(str(place), "cpu")
    (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(place)}))
    with pytest.raises(ValueError, match="belongs to itself"):
        load_policy(str(place), "cpu")
    (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "tiny-search"}))
    with pytest.raises(ValueError, match=r"adapter in .* does not fit Qwen2ForCausalLM"):
        load_policy(str(place), "cpu")
    (place / "adapter_config.json").write_text(json.dumps(config))
    content = (place / "adapter_model.safetensors").read_bytes()
    (place / "adapter_model.safetensors").write_bytes(content[:100])
    with pytest.raises(ValueError, match="does not fit Qwen2ForCausalLM"):
        load_policy(str(place), "cpu")
    (place / "adapter_model.safetensors").unlink()
    with pytest.raises(ValueError, match="save the adapter as safetensors"):
        load_policy(str(place), "cpu")


def test_the_verbs_fine_tune_an_adapter_and_evaluate_it(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": "Numbers: 3, 8, 5\n", "text": "Answer: 3 * 8"}, {"prompt": "Target: 23\n", "text": "Target: 3"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows * 4)))
    out = tmp_path / "out"
    learn = ["sft", "--model.path", str(model_dir), "--data.path", str(tmp_path / "rows.jsonl"), "--out", str(out)]
    learn += ["--data.prompt_column", "prompt", "--epochs", "6", "--tokens_per_step", "200", "--learner.device", "cpu"]
    learn += ["--learner.lr", "0.05", "--learner.dtype", "float32"]
    assert main([*learn, "--lora.rank", "8", "--lora.targets", "q_prj"]) == 2
    assert "did you mean q_proj" in capsys.readouterr().err
    assert main([*learn, "--lora.rank", "8", "--lora.dropout", "0.1"]) == 2
    assert "must be 0" in capsys.readouterr().err
    assert main([*learn, "--lora.rank", "8", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["last loss"] < row["first loss"] - 0.1
    merged, apart = (load_policy(str(path), "cpu").model.state_dict() for path in (out, out / "adapter"))
    for name, weight in merged.items():
        torch.testing.assert_close(apart[name], weight, atol=1e-6, rtol=1e-5)
    ask = ["--suite", "countdown", "--num_problems", "2", "--sampling.max_tokens", "8", "--device", "cpu", "--json"]
    assert main(["eval", str(out / "adapter"), *ask]) == 0
    adapter = json.loads(capsys.readouterr().out)["benchmarks"]
    assert main(["eval", str(out), *ask]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"] == adapter


def test_an_adapter_on_top_of_an_adapter_is_opened_through_both(model_dir: Path, tmp_path: Path) -> None:
    first = train(config_of(tmp_path / "first", model_dir, steps=1))
    second = train(config_of(tmp_path / "second", first.dir / "adapter", steps=1))
    merged, stacked = (load_policy(str(second.dir / name), "cpu").model.state_dict() for name in ("model", "adapter"))
    for name, weight in merged.items():
        torch.testing.assert_close(stacked[name], weight, atol=1e-6, rtol=1e-5)
    whole = train(config_of(tmp_path / "third", first.dir / "adapter", **{"steps": 1, "lora.rank": 0}))
    assert (whole.dir / "checkpoints" / "step-000001" / "model" / "config.json").exists()  # all of its weights learn
    assert not (whole.dir / "adapter").exists()
