"""What a user can get wrong about a cluster, each met with the remedy; most of it before Ray is started."""

from __future__ import annotations

import socket
import sys

import pytest
from cluster_runs import config_of

from r1zero.cli.cluster import with_cluster
from r1zero.cli.verb import Arguments
from r1zero.cluster import train
from r1zero.config import ClusterConfig, to_dict
from r1zero.store import write_config
from r1zero.training.run import check_directory


def test_a_missing_extra_is_named(settings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"needs the extra `ray`.*pip install 'r1zero\[ray\]'"):
        train(config_of(settings, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": 0}, r"cluster\.workers=0: must be at least 1"),
        ({"colocated": True, "asynchronous": True}, "exclude each other"),
        ({"workers": 2, "learner_ranks": 3}, r"cluster\.workers=2: must be at least cluster\.learner_ranks=3"),
        ({"learner_cpus": 0}, r"cluster\.learner_cpus=0: must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        ClusterConfig(**wrong)


def test_the_short_option_is_the_knob_and_may_not_contradict_it():
    assert with_cluster(Arguments(options={"cluster": "ray"})).overrides == {"cluster.name": "ray"}
    with pytest.raises(ValueError, match="contradict"):
        with_cluster(Arguments(options={"cluster": "ray"}, overrides={"cluster.name": "none"}))


def test_an_address_where_nobody_listens_is_refused_at_once():
    pytest.importorskip("ray", reason="needs the extra `ray`: make test-ray")
    from r1zero.cluster.connection import check_reachable

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can be there
        address = f"127.0.0.1:{held.getsockname()[1]}"
        for shown in (address, f"ray://{address}"):
            with pytest.raises(
                ValueError, match=rf"no Ray cluster answers at cluster\.address={shown}.*ray start --head"
            ):
                check_reachable(shown)
    with pytest.raises(ValueError, match="write HOST:PORT"):
        check_reachable("somewhere")


def test_other_versions_on_a_worker_are_named():
    pytest.importorskip("ray", reason="needs the extra `ray`: make test-ray")
    from r1zero.cluster.connection import check_versions, versions

    here = versions()
    check_versions(here, here | {"process": "1"}, "worker 0")
    with pytest.raises(ValueError, match=r"worker 0 runs other versions: torch 1\.0 \(here "):
        check_versions(here, here | {"torch": "1.0"}, "worker 0")


def test_a_cluster_that_is_too_small_says_what_it_has(cluster, settings, tmp_path):
    config = config_of(settings, tmp_path / "run", cluster={"workers": 40})
    with pytest.raises(ValueError, match=r"the cluster has \d+ CPUs and this needs 41 \(40 workers and the learner\)"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_what_a_worker_cannot_load_is_said_in_the_drivers_words(cluster, settings, tmp_path):
    config = config_of(settings, tmp_path / "run", model={"path": str(tmp_path / "nowhere")})
    with pytest.raises(ValueError, match=r"no model .*nowhere"):
        train(config)


def test_a_run_may_go_on_elsewhere_but_not_in_another_mode(settings, tmp_path):
    run_dir = tmp_path / "run"
    here = config_of(settings, run_dir, cluster={"name": "none"})
    write_config(run_dir, {"config": to_dict(here)})
    assert check_directory(run_dir, config_of(settings, run_dir, cluster={"workers": 5, "address": "head:6379"}))
    with pytest.raises(ValueError, match=r"cluster\.asynchronous was False, is True"):
        check_directory(run_dir, config_of(settings, run_dir, cluster={"asynchronous": True}))
