import itertools
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1zero.cli.recipes import find_recipe
from r1zero.config import ArchitectureConfig, CorpusConfig, LearnerConfig, PretrainConfig, build, read_recipe
from r1zero.models.load import SHIPPED, load_policy
from r1zero.tasks.corpus import corpus_hash, documents
from r1zero.training.pretrain import pretrain, token_batches

MICRO = PretrainConfig(
    name="micro",
    steps=12,
    tokens_per_step=600,
    card_problems=4,
    corpus=CorpusConfig(num_documents=300),
    architecture=ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1, intermediate_size=64, vocab_size=320
    ),
    learner=LearnerConfig(lr=1e-2, warmup_steps=2, tokens_per_microbatch=300, device="cpu"),
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(directory, what pretrain returned) of one micro model."""
    out = tmp_path_factory.mktemp("models") / "micro"
    return out, pretrain(replace(MICRO, out=str(out)))


def test_the_loss_falls_from_that_of_a_uniform_guess(made):
    _, fitted = made
    assert len(fitted.losses) == MICRO.steps
    assert fitted.losses[0] == pytest.approx(torch.tensor(320.0).log().item(), rel=0.15)
    assert fitted.losses[-1] < fitted.losses[0] - 1


def test_the_same_seed_gives_the_same_losses_and_weights_and_another_seed_others(made, tmp_path):
    out, fitted = made
    again = pretrain(replace(MICRO, out=str(tmp_path / "again"), card_problems=0))
    assert again.losses == fitted.losses
    first, second = (load_file(d / "model.safetensors") for d in (out, tmp_path / "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert pretrain(replace(MICRO, out=str(tmp_path / "b"), seed=1, card_problems=0)).losses != fitted.losses


def test_the_directory_opens_with_the_auto_classes_in_bfloat16(made):
    out, _ = made
    assert {t.dtype for t in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    ids = torch.tensor([tokenizer.encode("Numbers: 1, 2\nTarget: 3\n", add_special_tokens=False)])
    with torch.no_grad():
        ours = load_policy(str(out), "cpu").model(ids).logits
        assert torch.allclose(model(ids).logits, ours, atol=1e-5)


def test_the_model_has_an_embedding_row_for_each_token_and_no_more(made):
    out, _ = made
    tokenizer, weights = AutoTokenizer.from_pretrained(out), load_file(out / "model.safetensors")
    assert len(weights["model.embed_tokens.weight"]) == len(tokenizer)
    assert json.loads((out / "config.json").read_text())["vocab_size"] == len(tokenizer)


def test_recipe_json_is_a_recipe_and_names_the_corpus(made):
    out, _ = made
    saved = json.loads((out / "recipe.json").read_text())
    assert build(PretrainConfig, read_recipe(out / "recipe.json")) == replace(MICRO, out=str(out))
    assert saved["corpus"]["sha256"] == corpus_hash(list(documents(MICRO.corpus, MICRO.seed)))
    assert (
        saved["versions"]["torch"] == torch.__version__.split("+")[0] or saved["versions"]["torch"] in torch.__version__
    )


def test_the_log_counts_tokens_and_follows_the_schedule(made):
    out, fitted = made
    rows = [json.loads(line) for line in (out / "training_log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["loss"] for row in rows] == pytest.approx(fitted.losses, abs=1e-6)
    assert [row["lr"] for row in rows][:3] == [0.005, 0.01, 0.01]
    assert all(b["tokens"] - a["tokens"] >= 600 for a, b in itertools.pairwise(rows))


def test_the_card_states_what_was_measured(made):
    out, _ = made
    card = (out / "README.md").read_text()
    for word in ("# micro", "sha256", "pass@8", "checks against the target right", "4 held-out problems, 8 responses"):
        assert word in card


def test_a_directory_that_holds_something_is_refused(made):
    out, _ = made
    with pytest.raises(ValueError, match="is not empty"):
        pretrain(replace(MICRO, out=str(out)))


def test_every_epoch_reads_every_document_once_in_an_order_of_its_own():
    encoded = [list(range(10 + i)) for i in range(20)]
    total = sum(map(len, encoded))
    batches = token_batches(encoded, total, seed=0)  # one step an epoch
    first, second = next(batches), next(batches)
    assert [g.num_tokens for g in first] == [g.num_tokens for g in second] == sorted(map(len, encoded))
    small = token_batches(encoded, 40, seed=0)
    order = [group.problem_id for _ in range(6) for group in next(small)]
    assert len(order) == len(set(order))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_recipe_of_the_shipped_model_gives_its_corpus_and_the_beginning_of_its_loss_curve(tmp_path):
    recipe = build(PretrainConfig, read_recipe(find_recipe("tiny-search")))
    shipped = SHIPPED / "tiny-search"
    log = [json.loads(line) for line in (shipped / "training_log.jsonl").read_text().splitlines()]
    assert len(log) == recipe.steps
    saved = json.loads((shipped / "recipe.json").read_text())
    assert corpus_hash(list(documents(recipe.corpus, recipe.seed))) == saved["corpus"]["sha256"]

    class EnoughError(Exception):
        pass

    losses = []

    def stop_at_100(step, _, metrics):
        losses.append(metrics["learner/loss"])
        if step == 100:
            raise EnoughError

    with pytest.raises(EnoughError):
        pretrain(replace(recipe, out=str(tmp_path / "again")), stop_at_100)
    for start in range(0, 100, 25):
        again = sum(losses[start : start + 25]) / 25
        then = sum(row["loss"] for row in log[start : start + 25]) / 25
        assert again == pytest.approx(then, rel=0.05), f"steps {start + 1} to {start + 25}"
