"""Jobs to outcomes by workers on a Ray cluster; a lost worker or node costs the time of its jobs, and no result."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import Config, ConfigError
from .bundles import TRIES, Bundle, Queue, Results, Sizes
from .evaluate import Evaluator, Job, Outcome, limit_memory, settle

PATIENCE = 600.0
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

    def run(self, bundle: Bundle) -> list[Outcome]:
        return self.evaluator.together(bundle)


@dataclass(eq=False)
class _Worker:
    """A worker and what is expected of it: that it comes up, where `node` is empty, or outcomes."""

    actor: Any
    answer: Any
    node: str = ""
    bundle: Bundle = ()
    deadline: float = field(default=float("inf"))


class RayPool:
    """Workers on the cluster at `machine.address`, or on one that is started here. Raises ConfigError."""

    def __init__(self, config: Config, evaluator: type[Evaluator] = Evaluator) -> None:
        self.config, self.evaluator = config, evaluator
        self.ray = _connected(config)
        self.timeout = config.machine.timeout or float("inf")
        self.stillborn = 0
        self.workers = [self._hire() for _ in range(_count(self.ray, config))]
        self.sizes = Sizes(config, len(self.workers))

    def run(self, jobs: Sequence[Job]) -> Iterator[Results]:
        queue = Queue(self.sizes.bundled(jobs))
        while queue.waiting or any(worker.bundle for worker in self.workers):
            for worker in self.workers:
                if worker.answer is None and queue.waiting:
                    self._give(worker, queue.waiting.popleft())
            for worker in self._answered():
                yield from self._taken(worker, queue)
            for worker in self.workers:
                if worker.bundle and time.monotonic() > worker.deadline:
                    yield from queue.overdue(self._replace(worker), self.timeout)

    def close(self) -> None:
        for worker in self.workers:
            self.ray.kill(worker.actor)
        self.ray.shutdown()

    # ------------------------------------------------------------ hiring

    def _hire(self) -> _Worker:
        remote = self.ray.remote(num_cpus=self.config.machine.threads, num_gpus=_gpus(self.config))(Trainer)
        actor = remote.remote(self.config, self.evaluator)
        return _Worker(actor, actor.node.remote())

    def _replace(self, worker: _Worker) -> Bundle:
        """A fresh worker in the place of another; what that had in hand."""
        bundle = worker.bundle
        self.ray.kill(worker.actor)
        fresh = self._hire()
        worker.actor, worker.answer, worker.node, worker.bundle = fresh.actor, fresh.answer, "", ()
        return bundle

    # ------------------------------------------------------------ jobs

    def _give(self, worker: _Worker, bundle: Bundle) -> None:
        worker.bundle, worker.deadline = bundle, time.monotonic() + len(bundle) * self.timeout
        worker.answer = worker.actor.run.remote(bundle)

    def _answered(self) -> list[_Worker]:
        """Those whose answer has come, or will never come. Raises ConfigError where no worker comes up."""
        expected = {worker.answer: worker for worker in self.workers if worker.answer is not None}
        busy = [worker.deadline for worker in expected.values() if worker.bundle]
        patience = min(busy) - time.monotonic() if busy else PATIENCE
        ready, _ = self.ray.wait(list(expected), timeout=None if patience == float("inf") else max(0.0, patience))
        if not ready and not busy:
            raise ConfigError(f"no worker came up on the Ray cluster in {PATIENCE:g} seconds: its cores are taken")
        return [expected[answer] for answer in ready]

    def _taken(self, worker: _Worker, queue: Queue) -> Iterator[Results]:
        """The outcomes that a worker answered with, if that was its answer and it lives."""
        node = worker.node
        try:
            answer = self.ray.get(worker.answer)
        except self.ray.exceptions.RayError as error:
            bundle = self._bury(worker, error)
            yield from queue.died(bundle, self._is_up(node)) if bundle else ()
            return
        bundle, worker.bundle, worker.answer = worker.bundle, (), None
        if bundle:
            results = list(zip(bundle, answer, strict=True))
            self.sizes.learn(results)
            yield results
        else:
            worker.node, self.stillborn = answer, 0

    def _bury(self, worker: _Worker, error: Exception) -> Bundle:
        """Replace one that died. Raises ConfigError where they keep dying before they are up."""
        self.stillborn += not worker.node
        if self.stillborn >= TRIES * len(self.workers):
            last = str(error).strip().splitlines()[-1].strip()
            raise ConfigError(f"workers on the Ray cluster die as they start: {last}")
        return self._replace(worker)

    def _is_up(self, node: str) -> bool:
        return any(known["NodeID"] == node and known["Alive"] for known in self.ray.nodes())


def workers_there(config: Config) -> int:
    """How many workers the configured cluster would give. Raises ConfigError."""
    ray = _connected(config)
    try:
        return _count(ray, config)
    finally:
        ray.shutdown()


def _count(ray: Any, config: Config) -> int:
    """As many workers as are asked for, or as fill the cluster's cores, or GPUs. Raises ConfigError."""
    threads, resources = config.machine.threads, ray.cluster_resources()
    cores = int(resources.get("CPU", 0))
    if cores < threads:
        raise ConfigError(f"the Ray cluster has {cores} cores, and a worker needs {threads} (machine.threads)")
    own = max(1, int(resources.get("GPU", 0))) if _gpus(config) else cores // threads
    return config.machine.workers or own


def _gpus(config: Config) -> int:
    return int(config.machine.device.startswith("cuda"))


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
