"""The ways a cluster can work: like one process, ahead of the learner, with several ranks, for eval and probe."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("ray", reason="needs the extra `ray`: make test-ray")

import ray
from cluster_runs import Disturber, config_of, kill, timeless, total, wait_for

from r1zero.cluster import close, engine_for, train
from r1zero.cluster.worker import Setup, Worker, plain_weights, tensors_of
from r1zero.cluster.workers import Workers, joined
from r1zero.config import EngineConfig, EvalConfig, SamplingConfig, build
from r1zero.engines import build_engine
from r1zero.evaluation.ask import Asked, encode
from r1zero.grading.batch import Submission, grade_together
from r1zero.models.load import load_policy
from r1zero.store import read_metrics, read_rollouts
from r1zero.tasks import build_task
from r1zero.tasks.templates import load_template
from r1zero.training.loop import train as train_here

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the tasks below, which workers cannot import

HARD = r"\boxed{\int_0^1 x^{%d} dx}"  # what is compared in a grading process


def test_one_worker_that_is_asked_for_everything_makes_the_run_of_one_process(cluster, settings, tmp_path):
    short = settings | {"steps": 3}
    assert train(config_of(short, tmp_path / "ray", cluster={"workers": 1})).finished
    assert train_here(config_of(short, tmp_path / "here", cluster={"name": "none"})).finished
    assert timeless(tmp_path / "ray") == timeless(tmp_path / "here")
    tables = [read_rollouts(tmp_path / run).select(pl.exclude("run")).collect() for run in ("ray", "here")]
    assert tables[0].equals(tables[1])


def test_asynchronous_steps_are_one_behind_use_each_problem_once_and_survive_deaths(cluster, settings, tmp_path):
    run_dir = tmp_path / "run"
    config = config_of(settings, run_dir, cluster={"asynchronous": True})
    disturber = Disturber(run_dir, {2: kill("worker 1"), 5: kill("learner")})
    assert train(config, disturber).finished and not disturber.deeds
    rows = read_rollouts(run_dir).collect()
    assert rows.select("step", "problem_id", "sample").is_unique().all()
    assert rows["problem_id"].n_unique() == 8 * 4 and rows.height == 8 * 4 * 4
    behind = rows["step"] - 1 - rows["weights_version"]
    assert set(behind.to_list()) == {0, 1}  # 0 where nobody was ahead yet: the first step of each learner
    metrics = [row for row in read_metrics(run_dir) if row["step"]]
    assert [row["policy/staleness_max"] for row in metrics].count(1.0) >= 4
    assert max(row["policy/staleness_max"] for row in metrics) == 1.0
    assert all(0 <= row["cluster/worker_busy_share"] <= 1 for row in metrics)
    assert total(run_dir, "cluster/worker_restarts") >= 1 and metrics[-1]["cluster/learner_restarts"] == 1
    assert "policy/corrected_share" in metrics[-1]  # the correction was at work


def test_two_ranks_of_the_learner_make_the_metrics_of_one_and_both_start_again_when_one_dies(
    cluster, settings, tmp_path
):
    exact = {"lr": 1e-3, "dtype": "float32"}  # sums of another order, a little magnified by each step
    short = settings | {"steps": 4, "sampling": {"max_tokens": 48}, "learner": exact}
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert train(config_of(short, alone)).finished
    disturber = Disturber(both, {2: kill("learner")})
    assert train(config_of(short, both, cluster={"learner_ranks": 2}), disturber).finished and not disturber.deeds
    for one, two in zip(read_metrics(alone), read_metrics(both), strict=True):
        for name in ("reward/mean", "response/tokens_mean", "grad/norm", "policy/entropy", "eval/countdown/accuracy"):
            there, here = two.get(name, math.nan), one.get(name, math.nan)
            assert there == pytest.approx(here, rel=1e-5, abs=1e-6, nan_ok=True), name


def test_workers_answer_what_one_engine_answers_for_eval_and_probe(cluster, model_dir):
    config = build(EvalConfig, {"model": {"path": str(model_dir)}, "cluster": {"name": "ray"}, "threads": 1})
    policy, template = load_policy(str(model_dir)), load_template("native")
    prompts = encode(build_task(config.task, 0).problems("eval", 0, 6), template, policy)
    engine = engine_for(config, policy, str(model_dir))
    how = {"samples": 2, "sampling": SamplingConfig(max_tokens=24), "address": (0, "x"), "banned": [(5,)]}
    counted: list[int] = []
    there = engine.generate(prompts, on_tokens=counted.append, **how)
    close(engine)
    here = build_engine(EngineConfig(), policy).generate(prompts, **how)
    assert [[r.token_ids for r in group] for group in there] == [[r.token_ids for r in group] for group in here]
    assert sum(counted) == sum(r.num_tokens for group in there for r in group)
    assert ray.is_initialized()  # the connection was ours, and stays


class GradeAndSay:
    """A task of a worker: say who grades, and grade so much that it can be killed over it."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, engine, policy):
        golds = [rf"\frac{{1}}{{{n + 1 + n % 2}}}" for n in range(20)]  # every second one is wrong
        asked = [Submission(HARD % n, (gold,), "boxed", "math") for n, gold in enumerate(golds)]
        grade_together(asked[:1])  # now there is a grading process
        self.path.write_text(str(os.getpid()))
        return [[]], [(grade.correct, grade.formatted) for grade in grade_together(asked)]


def graders_of(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").glob("*/children")
    children = [child for thread in threads for child in thread.read_text().split()]
    running = {child: Path(f"/proc/{child}/cmdline").read_text(errors="replace") for child in children}
    return [int(child) for child, line in running.items() if "r1zero.grading.worker" in line]


def test_a_grader_that_dies_is_replaced_and_the_grades_are_the_same(cluster, model_dir, tmp_path):
    setup = Setup(str(model_dir), EngineConfig(), "cpu", 1, str(tmp_path))
    worker = ray.remote(Worker).options(num_cpus=1).remote(setup)
    undisturbed = ray.get(worker.answer.remote(GradeAndSay(tmp_path / "first"), None)).value[1]
    assert undisturbed == [(n % 2 == 0, True) for n in range(20)]
    process = int((tmp_path / "first").read_text())
    running = worker.answer.remote(GradeAndSay(tmp_path / "second"), None)
    wait_for((tmp_path / "second").exists)
    victims = graders_of(process)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    assert victims and ray.get(running).value[1] == undisturbed
    ray.kill(worker)


def test_when_no_worker_can_be_started_again_the_run_ends_with_a_sentence(cluster, model_dir, tmp_path):
    setup = Setup(str(model_dir), EngineConfig(), "cpu", 1, str(tmp_path))
    worker = ray.remote(Worker).options(num_cpus=1, max_restarts=0).remote(setup)
    process = int(ray.get(worker.ready.remote())["process"])
    workers = Workers([worker])
    threading.Timer(0.5, os.kill, (process, signal.SIGKILL)).start()
    with pytest.raises(RuntimeError, match=r"every rollout worker died too often.*cluster\.restarts"):
        for _ in workers.collect([workers.send(Sleep(), 1)]):
            pass
    workers.close()


class Sleep:
    def __call__(self, engine, policy):
        time.sleep(60)


def test_tasks_are_whole_groups_and_shares_are_equal_unless_they_are_given():
    def sizes(workers, given, problems, samples):
        engine = Workers([None] * workers, responses_per_task=given)
        engine.close()
        return [len(part) for part in engine._cut(range(problems), samples)]

    assert sizes(2, 0, 5, 8) == [3, 2]
    assert sizes(4, 0, 2, 8) == [1, 1]
    assert sizes(2, 16, 5, 8) == [2, 2, 1]
    assert sizes(2, 3, 2, 8) == [1, 1]  # a group is not divided


def test_time_is_shared_between_sampling_and_grading_as_the_workers_spent_it():
    asked = joined([Asked([[]], ("a",), 3.0, 1.0), Asked([[]], (), 5.0, 1.0)], seconds=5.0)
    assert (asked.sampling_seconds, asked.grading_seconds, asked.dropped) == (4.0, 1.0, ("a",))


def test_weights_travel_as_bytes_and_come_back_to_the_last_bit(model_dir):
    import torch

    named = dict(load_policy(str(model_dir)).model.named_parameters())
    named["half"] = torch.tensor([[1.5, -2.25]], dtype=torch.bfloat16)
    back = dict(tensors_of(plain_weights(iter(named.items()))))
    assert back.keys() == named.keys()
    assert all(back[name].dtype == named[name].dtype and back[name].equal(named[name].data) for name in named)
