"""Workers on this machine: what a job may do to one, when its time begins, and how long a worker lives."""

import multiprocessing
import signal
import threading
import time

import pytest

from optc.search.config import read_config
from optc.search.spaces.founders import founder_texts
from optc.search.training.evaluate import Job
from optc.search.training.pool import Processes, _end_with_parent

HUNGRY = """
import torch
from optc.search.tasks.images import Images
from optc.search.tasks.models import digits_cnn

def hungry(channels, classes):
    eaten = [torch.ones(2**28) for _ in range(4096)]

Hungry, Fine = Images("hungry", hungry, "digits"), Images("fine", digits_cnn, "digits")
"""


def test_what_eats_memory_costs_its_own_score(tmp_path, tiny):
    """Four tebibytes are asked for, a gibibyte at a time; the worker lives on, and does the next job."""
    (tmp_path / "tasks.py").write_text(HUNGRY)
    config = read_config(tiny, ["machine.memory=2"])
    text = next(iter(founder_texts(config).values()))
    jobs = [Job("k", text, f"{tmp_path}/tasks.py:{name}", 0, 6) for name in ("Hungry", "Fine")]
    pool = Processes(config, 1)
    worker = pool.workers[0].process.pid
    try:
        hungry, fine = (outcome for results in pool.run(jobs) for _, outcome in results)
        assert pool.workers[0].process.pid == worker
    finally:
        pool.close()
    assert hungry.fitness == -1 and "memory" in hungry.reason
    assert fine.fitness > 0 and fine.reason == ""


def test_to_start_is_no_training_time(tiny):
    """To import torch takes a worker longer than that."""
    pool = Processes(read_config(tiny, ["machine.timeout=1.0"]), 1)
    try:
        ((_, outcome),) = (found for results in pool.run([Job("k", "no rule", "saddle", 0, 6)]) for found in results)
    finally:
        pool.close()
    assert "E001" in outcome.reason


def _endless_worker():
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        time.sleep(0.01)


def _search(up):
    multiprocessing.get_context("fork").Process(target=_endless_worker, daemon=True).start()
    up.send("up")
    time.sleep(60)


def test_a_worker_ends_with_its_search_though_its_job_does_not():
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    search = fork.Process(target=_search, args=(theirs,))
    search.start()
    theirs.close()
    assert ours.recv() == "up"
    search.kill()
    assert ours.poll(20)  # the end of the pipe, which the worker has inherited
    with pytest.raises(EOFError):
        ours.recv()
    search.join()
    assert search.exitcode == -signal.SIGKILL
