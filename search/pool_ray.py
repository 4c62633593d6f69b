"""Jobs to outcomes by workers on a Ray cluster; a lost worker or node costs the time of its jobs, and no result."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .config import Config, ConfigError
from .evaluate import Evaluator, Job, Outcome, failure, limit_memory, settle

TRIES = 2
"""How often a job may take its worker with it; the loss of a whole node is not held against it."""
PATIENCE = 60.0
"""Seconds without any worker after which it is said that none can be had."""


class Trainer:
    """What lives on the cluster: one worker, its tasks' data loaded once."""

    def __init__(self, config: Config, evaluator: type[Evaluator]) -> None:
        settle(config)
        limit_memory(config)
        self.evaluator = evaluator(config)

    def node(self) -> str:
        """Where it lives; the first sign that it does."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, job: Job) -> Outcome:
        return self.evaluator(job)


@dataclass(eq=False)
class _Worker:
    """A worker and what is expected of it: that it comes up, where `node` is empty, or the outcome of its job."""

    actor: Any
    answer: Any
    node: str = ""
    job: Job | None = None
    deadline: float = field(default=float("inf"))


class RayPool:
    """Workers on the cluster at `machine.address`, or on one that is started here. Raises ConfigError."""

    def __init__(self, config: Config, evaluator: type[Evaluator] = Evaluator) -> None:
        self.config, self.evaluator = config, evaluator
        self.ray = _connected(config)
        self.timeout = config.machine.timeout or float("inf")
        self.stillborn = 0
        self.workers = [self._hire() for _ in range(self._count())]

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        waiting = deque(jobs)
        tries: dict[Job, int] = {}
        while waiting or any(worker.job for worker in self.workers):
            for worker in self.workers:
                if worker.answer is None and waiting:
                    self._give(worker, waiting.popleft())
            for worker in self._answered():
                job, outcome, held_against_it = self._taken(worker)
                if job is None:
                    continue
                tries[job] = tries.get(job, 0) + held_against_it
                if outcome is None and tries[job] < TRIES:
                    waiting.appendleft(job)
                else:
                    yield job, outcome or failure(f"its process died {TRIES} times")
            yield from self._overdue()

    def close(self) -> None:
        for worker in self.workers:
            self.ray.kill(worker.actor)
        self.ray.shutdown()

    # ------------------------------------------------------------ hiring

    def _count(self) -> int:
        threads = self.config.machine.threads
        resources = self.ray.cluster_resources()
        cores = int(resources.get("CPU", 0))
        if cores < threads:
            raise ConfigError(f"the Ray cluster has {cores} cores, and a worker needs {threads} (machine.threads)")
        if self._gpus():
            return self.config.machine.workers or max(1, int(resources.get("GPU", 0)))
        return self.config.machine.workers or cores // threads

    def _gpus(self) -> int:
        return int(self.config.machine.device.startswith("cuda"))

    def _hire(self) -> _Worker:
        remote = self.ray.remote(num_cpus=self.config.machine.threads, num_gpus=self._gpus())(Trainer)
        actor = remote.remote(self.config, self.evaluator)
        return _Worker(actor, actor.node.remote())

    def _replace(self, worker: _Worker) -> None:
        self.ray.kill(worker.actor)
        fresh = self._hire()
        worker.actor, worker.answer, worker.node, worker.job = fresh.actor, fresh.answer, "", None

    # ------------------------------------------------------------ jobs

    def _give(self, worker: _Worker, job: Job) -> None:
        worker.job, worker.deadline = job, time.monotonic() + self.timeout
        worker.answer = worker.actor.run.remote(job)

    def _answered(self) -> list[_Worker]:
        """Those whose answer has come, or will never come. Raises ConfigError where no worker comes up."""
        expected = {worker.answer: worker for worker in self.workers if worker.answer is not None}
        busy = [worker.deadline for worker in expected.values() if worker.job]
        patience = min(busy) - time.monotonic() if busy else PATIENCE
        ready, _ = self.ray.wait(list(expected), timeout=None if patience == float("inf") else max(0.0, patience))
        if not ready and not busy:
            raise ConfigError(f"no worker came up on the Ray cluster in {PATIENCE:g} seconds: its cores are taken")
        return [expected[answer] for answer in ready]

    def _taken(self, worker: _Worker) -> tuple[Job | None, Outcome | None, int]:
        """The worker's job, its outcome, or None where the worker died of it, and whether that counts against it."""
        job, node = worker.job, worker.node
        try:
            answer = self.ray.get(worker.answer)
        except self.ray.exceptions.RayError as error:
            self._bury(worker, error)
            return job, None, int(self._is_up(node))
        worker.answer, worker.job = None, None
        if job is None:
            worker.node, self.stillborn = answer, 0
        return job, answer if job else None, 0

    def _bury(self, worker: _Worker, error: Exception) -> None:
        """Replace one that died. Raises ConfigError where they keep dying before they are up."""
        self.stillborn += not worker.node
        if self.stillborn >= TRIES * len(self.workers):
            last = str(error).strip().splitlines()[-1].strip()
            raise ConfigError(f"workers on the Ray cluster die as they start: {last}")
        self._replace(worker)

    def _is_up(self, node: str) -> bool:
        return any(known["NodeID"] == node and known["Alive"] for known in self.ray.nodes())

    def _overdue(self) -> Iterator[tuple[Job, Outcome]]:
        for worker in self.workers:
            if worker.job and time.monotonic() > worker.deadline:
                job = worker.job
                self._replace(worker)
                yield job, failure(f"it took longer than {self.timeout:g} seconds", self.timeout)


def _connected(config: Config) -> Any:
    """Ray, connected to the cluster that is asked for. Raises ConfigError."""
    try:
        import ray
    except ImportError:
        raise ConfigError("machine.pool = \"ray\" needs Ray: pip install 'optc[ray]'") from None
    there = config.machine.address
    named = {key: os.environ[key] for key in ("OPTC_DATA",) if key in os.environ and there}
    ours = signal.getsignal(signal.SIGTERM)
    try:
        _knock(there)
        ray.init(
            address=there or "local",
            runtime_env={"env_vars": named} if named else None,
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=None if there else False,
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise ConfigError(f"no Ray cluster at `{there}`: {str(error).splitlines()[0]}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ours)  # Ray puts its own there, under which a search would not say goodbye
    return ray


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
