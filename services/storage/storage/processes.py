"""Processes that work on bytes strangers sent, one task at a time each, so that a hostile picture hurts nobody else.

A task that eats too much processor time or memory takes down its own process only; the next task gets a new one. So
does a task that nobody waits for any more: its process is ended, and its place is free at once.
"""

import asyncio
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

CPU_SECONDS = 30
NICENESS = 10  # thumbnails must not slow the API down


class ProcessDiedError(RuntimeError):
    """The process was ended while it worked: the task needs more time or memory than any honest picture."""


class Processes:
    """At most ``count`` processes with ``memory`` bytes of address space each, started when they are first needed."""

    def __init__(self, count: int, *, memory: int, cpu_seconds: int = CPU_SECONDS) -> None:
        self._memory = memory
        self._cpu_seconds = cpu_seconds
        self._free: asyncio.LifoQueue[ProcessPoolExecutor] = asyncio.LifoQueue()
        for _ in range(count):
            self._free.put_nowait(self._executor())

    async def run(self, function: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        """Call ``function`` in a process of its own, which ends when the caller is cancelled.

        Raises what it raises, or ProcessDiedError.
        """
        task = partial(_limited, self._cpu_seconds, partial(function, *arguments, **options))
        executor = await self._free.get()
        try:
            try:
                future = executor.submit(task)
            except BrokenProcessPool:
                # it died while it had nothing to do, by the kernel's choice when memory is short: no fault of this task
                executor.shutdown(wait=False)
                executor = self._executor()
                future = executor.submit(task)
            return await asyncio.wrap_future(future)
        except BrokenProcessPool as error:
            executor.shutdown(wait=False)
            executor = self._executor()
            raise ProcessDiedError("the picture took too much time or memory to decode") from error
        except asyncio.CancelledError:
            _kill(executor)
            executor = self._executor()
            raise
        finally:
            self._free.put_nowait(executor)

    async def close(self) -> None:
        """End all processes."""
        executors = [self._free.get_nowait() for _ in range(self._free.qsize())]
        await asyncio.gather(*(asyncio.to_thread(executor.shutdown, cancel_futures=True) for executor in executors))

    def _executor(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=_prepare, initargs=(self._memory,))


def _kill(executor: ProcessPoolExecutor) -> None:
    """End a process in the middle of its task."""
    for process in executor._processes.values():  # noqa: SLF001 - kill_workers() comes with Python 3.14
        process.kill()
    executor.shutdown(wait=False)


def _prepare(memory: int) -> None:
    """Bound this process, and end it with its parent, even one that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _limited(cpu_seconds: int, task: Callable[[], R]) -> R:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + cpu_seconds, hard))
    return task()
