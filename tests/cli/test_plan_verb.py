"""`r1zero plan`."""

import subprocess
import sys

import pytest


def test_a_recipe_that_fits_ends_in_0_and_one_that_does_not_in_1_with_what_to_change(r1zero):
    fits = r1zero("plan", "understand_r1_zero_1_5b", "--gpus", 8, "--gpu_memory", 80)
    assert (fits.code, fits.err) == (0, "")
    assert "It fits" in fits.out and "to make it fit" not in fits.out
    large = r1zero("plan", "understand_r1_zero_7b")
    assert large.code == 1
    assert "It does not fit" in large.out and "--engine.name vllm --engine.sleep" in " ".join(large.out.split())


def test_the_parts_add_up_to_the_peak(r1zero):
    plan = r1zero("plan", "oat_zero_countdown", "--gpus", 8, "--json").json
    totals = {
        phase: sum(part[phase] for part in plan["parts"]) for phase in ("sampling", "logits", "backward", "updating")
    }
    assert max(totals.values()) == plan["peak"] == plan["peak_by_gpus"]["8"]
    assert plan["model"]["parameters"] == 3_085_938_688
    assert "reference" in {part["name"] for part in plan["parts"]}  # its KL divergence needs one
    assert plan["fits"] == (plan["peak"] <= plan["room"])


def test_advice_is_made_of_flags_that_lead_where_it_says(r1zero):
    plan = r1zero("plan", "understand_r1_zero_7b", "--gpu-memory", 40, "--json").json
    flags = " ".join(change["flag"] for change in plan["changes"])
    words = flags.replace("--ranks", "--gpus").replace("--lora.rank", "--lora-rank").split()
    after = r1zero("plan", "understand_r1_zero_7b", "--gpu-memory", 40, "--json", *words)
    assert after.code == 0
    assert after.json["peak"] == pytest.approx(plan["changes"][-1]["peak"], rel=0.02)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.path", "Qwen/Qwen2.5-8B"], "the shape of 'Qwen/Qwen2.5-8B' is not known here: did you mean"),
        (["--gpus", "0"], "--gpus 0: give a whole number, at least 1"),
        (["--gpu-memory", "much"], "--gpu-memory much: give a number"),
        (["--gpu-memory", "-4"], "gpu_memory=-4.0: must be above 0"),
        (["--gpus", "64"], "problems_per_step=16 on 64 GPUs"),
        (["visualthinker"], "the shape of 'Qwen/Qwen2-VL-2B' is not known here"),
        (["tiny-search"], "recipe tiny-search is for `r1zero pretrain`, not for `r1zero train`"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_line(r1zero, words, message):
    done = r1zero("plan", *words)
    assert done.code == 2
    assert message in done.err


def test_planning_loads_no_model(tmp_path):
    code = (
        "import sys; from r1zero.cli.main import main; main(['plan', 'tinyzero_3b', '--json'])\n"
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path).returncode == 0
