"""Jobs to outcomes, by this process or by several; what runs where never changes what comes out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

from ..config import Config, ConfigError
from .bundles import TRIES, Bundle, Queue, Results, Sizes, on_cuda
from .evaluate import Evaluator, Job, limit_memory, settle


class Pool(Protocol):
    def run(self, jobs: Sequence[Job]) -> Iterator[Results]:
        """The jobs' outcomes, as they come; those that come at the same time are given together."""
        ...

    def close(self) -> None: ...


def make_pool(config: Config, evaluator: type[Evaluator] = Evaluator) -> Pool:
    """The configured pool, in which an evaluator of that class runs every job."""
    if config.machine.pool == "inline":
        return Inline(config, evaluator)
    if config.machine.pool == "ray":
        from .pool_ray import RayPool

        return RayPool(config, evaluator)
    return Processes(config, worker_count(config), evaluator)


def worker_count(config: Config) -> int:
    """As many workers as are asked for, or as fill the cores this process may use; one for a CUDA device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = 1 if on_cuda(config) else max(1, cores // config.machine.threads)
    return config.machine.workers or own


class Inline:
    """This process, one job after another: for debugging, and where processes cannot be had. It has no timeout."""

    def __init__(self, config: Config, evaluator: type[Evaluator] = Evaluator) -> None:
        settle(config)
        self.evaluator, self.sizes = evaluator(config), Sizes(config, 1)

    def run(self, jobs: Sequence[Job]) -> Iterator[Results]:
        for bundle in self.sizes.bundled(jobs):
            results = list(zip(bundle, self.evaluator.together(bundle), strict=True))
            self.sizes.learn(results)
            yield results

    def close(self) -> None:
        pass


@dataclass
class _Worker:
    """`up` once it has started: imports take seconds, which are nobody's training time."""

    process: SpawnProcess
    pipe: Connection
    up: bool = False
    bundle: Bundle = ()
    deadline: float = field(default=float("inf"))


class Processes:
    """Processes on this machine. One that dies takes a second try at its job, then the job fails; the rest goes on."""

    def __init__(self, config: Config, count: int, evaluator: type[Evaluator] = Evaluator) -> None:
        self.config, self.evaluator = config, evaluator
        self.timeout = config.machine.timeout or float("inf")
        self.workers = [self._hire() for _ in range(count)]
        self.sizes, self.stillborn = Sizes(config, count), 0

    def run(self, jobs: Sequence[Job]) -> Iterator[Results]:
        """Raises ConfigError where no worker can be started."""
        queue = Queue(self.sizes.bundled(jobs))
        while queue.waiting or any(worker.bundle for worker in self.workers):
            for worker in self.workers:
                if worker.up and not worker.bundle and queue.waiting:
                    self._give(worker, queue.waiting.popleft())
            yield from self._finished(queue)

    def _give(self, worker: _Worker, bundle: Bundle) -> None:
        worker.bundle, worker.deadline = bundle, time.monotonic() + len(bundle) * self.timeout
        with suppress(OSError):  # where it has died, `_finished` will find out
            worker.pipe.send(bundle)

    def _finished(self, queue: Queue) -> Iterator[Results]:
        """The outcomes of whoever is done, has died or takes too long; whoever has started is up."""
        expected = {worker.pipe: worker for worker in self.workers if worker.bundle or not worker.up}
        nearest = min((worker.deadline for worker in expected.values() if worker.bundle), default=float("inf"))
        patience = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
        for pipe in wait(list(expected), patience):
            worker = expected[pipe]  # type: ignore[index]
            try:
                answer = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._buried(worker, queue)
            else:
                yield from self._taken(worker, answer)
        for worker in expected.values():
            if worker.bundle and time.monotonic() > worker.deadline:
                yield from queue.overdue(self._replace(worker), self.timeout)

    def _taken(self, worker: _Worker, answer: Any) -> Iterator[Results]:
        """A worker's outcomes; its first answer is only that it is up."""
        if not worker.up:
            worker.up, self.stillborn = True, 0
            return
        bundle, worker.bundle = worker.bundle, ()
        results = list(zip(bundle, answer, strict=True))
        self.sizes.learn(results)
        yield results

    def _buried(self, worker: _Worker, queue: Queue) -> Iterator[Results]:
        """Replace a worker that died. Raises ConfigError where they keep dying before they are up."""
        self.stillborn += not worker.up
        if self.stillborn >= TRIES * len(self.workers):
            raise ConfigError("workers die as they start; what they said is above, and memory may be short")
        bundle = self._replace(worker)
        yield from queue.died(bundle) if bundle else ()

    def _replace(self, worker: _Worker) -> Bundle:
        """A fresh process in the worker's place; what the old one had in hand."""
        bundle, worker.bundle = worker.bundle, ()
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        fresh = self._hire()
        worker.process, worker.pipe, worker.up = fresh.process, fresh.pipe, False
        return bundle

    def _hire(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.config, self.evaluator), daemon=True)
        with _ctrl_c_is_ours():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def close(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


@contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """What is started meanwhile inherits the mask: it never hears of Ctrl-C, which a terminal sends to all."""
    resource_tracker.ensure_running()  # or the first process started would start it, which clears the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, config: Config, make: type[Evaluator]) -> None:
    """A worker's life: jobs in, outcomes out, until whoever hired it is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settle(config)
    limit_memory(config)
    evaluator, own = make(config), os.getpid()
    try:
        pipe.send(None)
        while True:
            answer = evaluator.together(pipe.recv())
            if os.getpid() != own:
                os._exit(1)  # a task forked in the middle of a job, which has one answer
            pipe.send(answer)
    except (EOFError, OSError):
        return


def _end_with_parent() -> None:
    """Whoever hired this process may be killed in the middle of a job, which may be long or never end."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
