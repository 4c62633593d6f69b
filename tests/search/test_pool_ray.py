"""A search on a Ray cluster: the same bits as in one process, also where a node is taken away in the middle."""

import os
import sys
from pathlib import Path

import pytest
import torch

from optc.search.config import ConfigError, read_config
from optc.search.runs.estimate import workers_of
from optc.search.runs.run import create, run
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
def cluster():
    """A cluster of one node with one core."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    ray.shutdown()
    made.shutdown()


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


def pool_there(folder, cluster, evaluator, *changes):
    (folder / "tiny.toml").write_text(TINY)
    address = f"machine.address={cluster.address}"
    return make_pool(read_config(folder / "tiny.toml", ["machine.pool=ray", address, *changes]), evaluator)


def outcomes_of(pool, jobs):
    try:
        return {job.task: outcome for results in pool.run(jobs) for job, outcome in results}
    finally:
        pool.close()


def test_a_deadly_job_fails_alone(tmp_path, cluster):
    text = "param lr = 1e-3\nupdate = sign(g)"
    jobs = [Job("k", text, task, 0, 6) for task in ("deadly", "quadratic_1e2")]
    outcomes = outcomes_of(pool_there(tmp_path, cluster, Deadly), jobs)
    assert outcomes["deadly"].reason == "its process died 2 times"
    assert outcomes["quadratic_1e2"].reason == "" and outcomes["quadratic_1e2"].fitness > -1


def test_an_endless_job_is_given_up(tmp_path, cluster):
    """It is alone, for a short time may be too short for anything on a busy machine."""
    jobs = [Job("k", "param lr = 1e-3\nupdate = sign(g)", "endless", 0, 6)]
    outcomes = outcomes_of(pool_there(tmp_path, cluster, Deadly, "machine.timeout=2"), jobs)
    assert outcomes["endless"].reason == "it took longer than 2 seconds"


class Hungry(Evaluator):
    """For a task that is a number it takes so many GiB of addresses before it trains."""

    foresees = False

    def problem_of(self, job):
        if not job.task.isdigit():
            return super().problem_of(job)
        torch.empty(int(job.task) * 2**30, dtype=torch.uint8)
        return self._problem("quadratic_1e2")


def test_memory_is_limited_there_too(tmp_path, cluster):
    """What Ray itself maps, more than the limit, is not counted; a block from the heap may take its size twice."""
    text = "param lr = 1e-3\nupdate = sign(g)"
    jobs = [Job("k", text, task, 0, 6) for task in ("1", "4", "quadratic_1e2")]
    outcomes = outcomes_of(pool_there(tmp_path, cluster, Hungry, "machine.memory=3.0"), jobs)
    assert "memory" in outcomes["4"].reason and outcomes["4"].fault == "rule"
    assert not outcomes["1"].reason and outcomes["quadratic_1e2"].fitness > -1


class Unborn(Evaluator):
    def __init__(self, config):
        raise RuntimeError("no libraries here")


def test_workers_that_cannot_start_are_given_up_in_words(tmp_path, cluster):
    with pytest.raises(ConfigError, match=r"die as they start.*no libraries here"):
        outcomes_of(pool_there(tmp_path, cluster, Unborn), [Job("k", "", "digits", 0, 6)])


def test_a_dry_run_counts_the_cluster_s_workers(tmp_path, cluster):
    (tmp_path / "tiny.toml").write_text(TINY)
    changes = ["machine.pool=ray", f"machine.address={cluster.address}"]
    assert workers_of(read_config(tmp_path / "tiny.toml", changes)) == 1
    assert workers_of(read_config(tmp_path / "tiny.toml", [*changes, "machine.workers=5"])) == 5
    with pytest.raises(ConfigError, match="has 1 cores, and a worker needs 2"):
        workers_of(read_config(tmp_path / "tiny.toml", [*changes, "machine.threads=2"]))


def test_a_lost_node_costs_no_result(tmp_path, cluster):
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    lost = []

    def lose():
        lost.append(len([node for node in ray.nodes() if node["Alive"]]))
        cluster.remove_node(second, allow_graceful=False)

    changes = "machine.pool=ray", f"machine.address={cluster.address}"
    on_ray = searched(tmp_path / "ray", Listener(5, lose), *changes)
    assert lost == [2]
    assert on_ray == searched(tmp_path / "inline", Listener(), "machine.pool=inline")


def test_a_cluster_that_is_not_there_is_said_in_words(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    config = read_config(tmp_path / "tiny.toml", ["machine.pool=ray", "machine.address=127.0.0.1:1"])
    with pytest.raises(ConfigError, match=r"no Ray cluster at `127\.0\.0\.1:1`"):
        run(create(config, tmp_path / "run"), config, Listener())
