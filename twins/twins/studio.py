"""Draws pictures in worker processes, so that the server answers other calls meanwhile.

Workers start with the first picture, never outlive this process however it ends, and are replaced when one dies.
The latest pictures are kept in memory, bounded by bytes: an equal request is answered from there.
"""

import asyncio
import multiprocessing
import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import structlog

from twins.art.flat import flat
from twins.art.spec import PictureSpec

CACHE_BYTES = 48 * 1024 * 1024

log = structlog.get_logger()


class Studio:
    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._pictures: OrderedDict[str, tuple[PictureSpec, bytes]] = OrderedDict()
        self._kept_bytes = 0

    async def picture(self, spec: PictureSpec) -> bytes:
        kept = self.kept(spec.key)
        if kept is not None:
            return kept[1]
        started = time.monotonic()
        picture = await self._draw(spec)
        log.info(
            "picture.drawn",
            size=f"{spec.width}x{spec.height}",
            bytes=len(picture),
            milliseconds=round((time.monotonic() - started) * 1000),
        )
        self._keep(spec, picture)
        return picture

    def kept(self, key: str) -> tuple[PictureSpec, bytes] | None:
        if key not in self._pictures:
            return None
        self._pictures.move_to_end(key)
        return self._pictures[key]

    def latest(self, count: int) -> list[PictureSpec]:
        return [spec for spec, _ in list(self._pictures.values())[: -count - 1 : -1]]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    async def _draw(self, spec: PictureSpec) -> bytes:
        try:
            return await self._submit(spec)
        except BrokenProcessPool:
            # A worker was killed. Drawing has no side effects, so a fresh pool may simply do it again.
            log.warning("studio.worker_lost")
            self._pool = None
            return await self._submit(spec)

    async def _submit(self, spec: PictureSpec) -> bytes:
        if self._pool is None:
            # Spawned, not forked: a fork would copy the event loop and its sockets into the worker.
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=multiprocessing.get_context("spawn"), initializer=_follow_parent
            )
        return await asyncio.get_running_loop().run_in_executor(self._pool, _draw, spec)

    def _keep(self, spec: PictureSpec, picture: bytes) -> None:
        if spec.key in self._pictures:
            return
        self._pictures[spec.key] = (spec, picture)
        self._kept_bytes += len(picture)
        while self._kept_bytes > CACHE_BYTES:
            _, (_, dropped) = self._pictures.popitem(last=False)
            self._kept_bytes -= len(dropped)


def _draw(spec: PictureSpec) -> bytes:
    try:
        # Imported in the worker only: skia and numpy cost the server neither start-up time nor memory.
        from twins.art.render import render
    except ImportError as error:
        # skia needs libGL and libEGL, which a bare server has not; a plain picture is better than none.
        log.warning("art.plain", reason=str(error), remedy="install libgl1 and libegl1 for the full pictures")
        return flat(spec)
    return render(spec)


def _follow_parent() -> None:
    """A pool worker cannot notice that its server was killed; this thread does, and ends it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_with_parent() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
