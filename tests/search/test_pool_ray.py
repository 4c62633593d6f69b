"""A search on a Ray cluster: the same bits as in one process, also where a node is taken away in the middle."""

import os
import sys
from pathlib import Path

import pytest

from optc.search.runs.config import ConfigError, read_config
from optc.search.runs.run import create, run
from optc.search.runs.store import Store
from optc.search.spaces.founders import founder_texts
from optc.search.training.evaluate import Evaluator, Job
from optc.search.training.pool import make_pool

from .conftest import TINY, contents

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'optc[ray]'")
pytestmark = pytest.mark.slow

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import what is here


class Listener:
    """Does something after so many scores."""

    def __init__(self, after=0, do=lambda: None):
        self.left, self.do = after, do

    def started(self, individuals, known): ...

    def scored(self, candidate, fitness, fresh):
        self.left -= 1
        if self.left == 0:
            self.do()

    def generation(self, generation): ...

    def finished(self): ...


@pytest.fixture(scope="module")
def two_nodes():
    """The address of a cluster of two nodes of one core each, and a way to take the second away."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
    ray.shutdown()
    cluster.shutdown()


def searched(folder: Path, listener: Listener, *changes: str) -> dict:
    folder.mkdir()
    (folder / "tiny.toml").write_text(TINY)
    config = read_config(folder / "tiny.toml", changes)
    store = create(config, folder / "run")
    run(store, config, listener)
    store.close()
    return contents(folder / "run")


class Deadly(Evaluator):
    """Dies of one task's jobs, takes for ever over another's, and runs the rest."""

    def together(self, jobs):
        if jobs[0].task == "deadly":
            os._exit(1)
        while jobs[0].task == "endless":
            pass
        return super().together(jobs)


def test_a_lost_node_costs_no_result(tmp_path, two_nodes):
    address, lose_one = two_nodes
    lost = []

    def lose():
        lost.append(len(ray.nodes()))
        lose_one()

    on_ray = searched(tmp_path / "ray", Listener(5, lose), "machine.pool=ray", f"machine.address={address}")
    assert lost == [2]
    assert on_ray == searched(tmp_path / "inline", Listener(), "machine.pool=inline")


def test_a_deadly_job_fails_alone(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    config = read_config(tmp_path / "tiny.toml", ["machine.pool=ray", "machine.workers=1", "machine.timeout=20"])
    text = next(iter(founder_texts(config).values()))
    pool = make_pool(config, Deadly)
    try:
        jobs = [Job("k", text, task, 0, 6) for task in ("deadly", "endless", "digits")]
        outcomes = {job.task: outcome for job, outcome in pool.run(jobs)}
    finally:
        pool.close()
    assert outcomes["deadly"].reason == "its process died 2 times"
    assert outcomes["endless"].reason == "it took longer than 20 seconds"
    assert outcomes["digits"].reason == "" and outcomes["digits"].fitness > 0


class Unborn(Evaluator):
    def __init__(self, config):
        raise RuntimeError("no libraries here")


def test_workers_that_cannot_start_are_given_up_in_words(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    config = read_config(tmp_path / "tiny.toml", ["machine.pool=ray", "machine.workers=1"])
    pool = make_pool(config, Unborn)
    try:
        with pytest.raises(ConfigError, match=r"die as they start.*no libraries here"):
            list(pool.run([Job("k", "", "digits", 0, 6)]))
    finally:
        pool.close()


def test_a_cluster_that_is_not_there_is_said_in_words(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    config = read_config(tmp_path / "tiny.toml", ["machine.pool=ray", "machine.address=127.0.0.1:1"])
    with pytest.raises(ConfigError, match=r"no Ray cluster at `127\.0\.0\.1:1`"):
        run(Store.create(tmp_path / "run", {"founders": "{}"}), config, Listener())
