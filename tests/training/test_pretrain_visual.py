import itertools
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoTokenizer

pytest.importorskip("PIL")

from r1zero.cli.recipes import find_recipe
from r1zero.config import ArchitectureConfig, LearnerConfig, PretrainConfig, VisualCorpusConfig, build, read_recipe
from r1zero.models.load import load_policy
from r1zero.models.tiny_visual import IMAGE, TAGS
from r1zero.tasks.pictures import open_picture
from r1zero.training.pretrain_visual import batches, document_loss, pretrain_visual

MICRO = PretrainConfig(
    name="micro",
    world="visual",
    steps=14,
    card_problems=4,
    pictures=VisualCorpusConfig(documents_per_step=4),
    architecture=ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=2, intermediate_size=48, vocab_size=640
    ),
    learner=LearnerConfig(lr=5e-3, warmup_steps=2, beta2=0.98, device="cpu"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(directory, what pretrain_visual returned) of one micro model."""
    out = tmp_path_factory.mktemp("models") / "micro"
    return out, pretrain_visual(replace(MICRO, out=str(out)))


def test_a_model_that_sees_learns_from_pictures_with_text(made):
    _, fitted = made
    assert len(fitted.losses) == MICRO.steps
    assert fitted.losses[-1] < fitted.losses[0] - 1


def test_the_same_seed_gives_the_same_seeing_model(made, tmp_path):
    out, fitted = made
    again = pretrain_visual(replace(MICRO, out=str(tmp_path / "again"), card_problems=0))
    assert again.losses == fitted.losses
    first, second = (load_file(d / "model.safetensors") for d in (out, tmp_path / "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_seeing_models_directory_opens_with_the_auto_classes(made):
    out, _ = made
    tokenizer, policy = AutoTokenizer.from_pretrained(out), load_policy(str(out), "cpu")
    model = AutoModelForImageTextToText.from_pretrained(out, dtype=torch.float32)
    ids = torch.tensor([tokenizer.encode("User: Is", add_special_tokens=False)])
    kind = torch.zeros_like(ids)
    with torch.no_grad():
        logits = model(ids, mm_token_type_ids=kind).logits
    assert logits.shape == (1, ids.shape[1], len(tokenizer))
    assert policy.vision is not None
    patches = policy.vision.patches(open_picture("scene:flat/n.redcircle/0"))
    assert (patches.grid, patches.num_tokens) == ((1, 6, 6), 9)
    assert tokenizer.convert_tokens_to_ids(IMAGE) in policy.vision.forbidden_ids


def test_tags_are_one_token_each_and_stay_when_decoded(made):
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    text = " nw . n redcircle</think> <answer> left</answer>"
    ids = tokenizer.encode("<think>" + text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>" + text
    assert sum(id in tokenizer.convert_tokens_to_ids(list(TAGS)) for id in ids) == 4
    assert len(ids) == 1 + 4 + 1 + 1 + 1 + 1 + 1  # tags, four words, the space between tags, the answer


def test_the_loss_of_a_batch_is_the_mean_over_its_learned_tokens(made):
    policy = load_policy(str(made[0]), "cpu")
    batch = next(batches(MICRO.pictures, 5))
    with torch.no_grad():
        together, seen = document_loss(policy.model, policy.tokenizer, policy.vision, batch)
        alone = [document_loss(policy.model, policy.tokenizer, policy.vision, [document]) for document in batch]
    counts = [len(policy.tokenizer.encode(d.response, add_special_tokens=False)) + 1 for d in batch]
    mean = sum(float(loss) * n for (loss, _), n in zip(alone, counts, strict=True)) / sum(counts)
    assert float(together) == pytest.approx(mean, abs=1e-5)
    assert seen == sum(n for _, n in alone)


def test_batches_hold_documents_of_similar_length_and_repeat_with_the_seed():
    first, second = ([*itertools.islice(batches(MICRO.pictures, 0), 8)] for _ in range(2))
    assert first == second
    lengths = [sorted(len(d.response.split()) for d in batch) for batch in first]
    assert all(len(batch) == 4 for batch in first)
    assert max(max(row) for row in lengths) > min(min(row) for row in lengths)


def test_what_was_run_is_written_beside_the_model_and_can_be_run_again(made):
    out, _ = made
    saved = json.loads((out / "recipe.json").read_text())
    assert saved["config"]["pictures"]["documents_per_step"] == 4
    assert build(PretrainConfig, saved["config"]).world == "visual"
    assert saved["corpus"]["documents"] == MICRO.steps * 4
    card = (out / "README.md").read_text()
    assert "| Count | 1 | 0.25 | 1.00 |" in card
    assert "| total | 4 | 0.44 |" in card


def test_the_shipped_recipe_is_of_the_world_of_pictures():
    config = build(PretrainConfig, read_recipe(find_recipe("tiny_visual_base")))
    assert (config.world, config.name) == ("visual", "tiny-visual")


def test_a_second_stage_goes_on_from_the_first(made, tmp_path):
    out, fitted = made
    second = pretrain_visual(replace(MICRO, start=str(out), out=str(tmp_path / "2"), steps=2, card_problems=0))
    assert second.losses[0] < fitted.losses[0] - 1


def test_a_directory_that_holds_something_is_left_alone_by_visual_pretraining(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="not empty"):
        pretrain_visual(replace(MICRO, out=str(tmp_path)))
