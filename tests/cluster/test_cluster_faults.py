"""Parts of a local cluster die in the middle of a step, and a synchronous run ends as it would have without."""

from __future__ import annotations

import polars as pl
import pytest

pytest.importorskip("ray", reason="needs the extra `ray`: make test-ray")

from cluster_runs import Disturber, add_node, config_of, kill, process_of, timeless, total

from r1zero.cluster import train
from r1zero.store import read_rollouts


@pytest.fixture(scope="module")
def undisturbed(cluster, settings, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert train(config_of(settings, run_dir)).finished
    return run_dir


def assert_same_end(run_dir, undisturbed):
    assert timeless(run_dir) == timeless(undisturbed)
    for split in ("train", "eval"):
        tables = [read_rollouts(run, split=split).select(pl.exclude("run")).collect() for run in (run_dir, undisturbed)]
        assert tables[0].equals(tables[1])
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (run_dir, undisturbed)]
    assert weights[0] == weights[1]


def test_every_problem_of_a_step_is_used_once(undisturbed):
    rows = read_rollouts(undisturbed).collect()
    assert rows.select("step", "problem_id", "sample").is_unique().all()
    assert rows["problem_id"].n_unique() == 8 * 4 and rows.height == 8 * 4 * 4


def test_responses_say_how_many_updates_their_weights_had_seen(undisturbed):
    rows = read_rollouts(undisturbed).collect()
    assert (rows["weights_version"] == rows["step"] - 1).all()


def test_workers_that_die_in_a_step_are_started_again_and_change_nothing(cluster, settings, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    disturber = Disturber(run_dir, {1: kill("worker 0"), 4: kill("worker 1"), 6: kill("worker 0")})
    assert train(config_of(settings, run_dir), disturber).finished and not disturber.deeds
    assert_same_end(run_dir, undisturbed)
    assert total(run_dir, "cluster/worker_restarts") == 3
    assert total(run_dir, "cluster/lost_responses") >= 3 * 8  # two problems of four responses are a share
    assert total(undisturbed, "cluster/worker_restarts") == total(undisturbed, "cluster/lost_responses") == 0


def test_a_learner_that_dies_is_started_again_from_its_checkpoint(cluster, settings, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    disturber = Disturber(run_dir, {3: kill("learner"), 7: kill("learner")})
    assert train(config_of(settings, run_dir), disturber).finished and not disturber.deeds
    assert_same_end(run_dir, undisturbed)
    assert [note for note in disturber.notes if "the learner died" in note and "another one goes on" in note]
    assert total(run_dir, "cluster/lost_steps") >= 1


def test_a_node_that_dies_takes_its_worker_and_the_run_goes_on(cluster, settings, undisturbed, tmp_path):
    run_dir = tmp_path / "run"

    def remove_node_of_worker(run_dir):
        learner = process_of(run_dir, "learner")[1]
        nodes = {process_of(run_dir, f"worker {n}")[1] for n in (0, 1)} - {learner}
        assert nodes, "no worker has a node of its own"
        remove(cluster, nodes.pop())

    disturber = Disturber(run_dir, {3: remove_node_of_worker})
    assert train(config_of(settings, run_dir), disturber).finished and not disturber.deeds
    add_node(cluster)
    assert_same_end(run_dir, undisturbed)
    assert total(run_dir, "cluster/worker_restarts") >= 1


def test_the_learners_node_dies_and_it_goes_on_elsewhere(cluster, settings, undisturbed, tmp_path):
    add_node(cluster)
    run_dir = tmp_path / "run"
    disturber = Disturber(run_dir, {3: lambda run_dir: remove(cluster, process_of(run_dir, "learner")[1])})
    assert train(config_of(settings, run_dir), disturber).finished and not disturber.deeds
    assert_same_end(run_dir, undisturbed)


def remove(cluster, node_id):
    """End a node's raylet without a word, and all that runs under it."""
    [node] = [node for node in cluster.worker_nodes if node.node_id.startswith(node_id)]
    cluster.remove_node(node, allow_graceful=False)
