"""A second thread for calls that let other threads run: hashing and writing a chunk while zlib unpacks the next one."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread

_AHEAD = 8  # calls that may wait, which bounds the memory of their arguments


class BackgroundCalls:
    """Makes calls one after the other in a thread of its own, which ends with the block.

    with BackgroundCalls() as background:
        background.do(file.write, data)  # returns at once, unless eight calls wait already
        background.wait()
    """

    def __init__(self) -> None:
        self._queue: Queue[tuple[Callable[..., object], tuple[object, ...]] | None] = Queue(_AHEAD)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="zoo-background", daemon=True)

    def __enter__(self) -> BackgroundCalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()

    def do(self, call: Callable[..., object], *arguments: object) -> None:
        """Queue a call. After one call has failed, no later one is made."""
        self._queue.put((call, arguments))

    def wait(self) -> None:
        """Return when all calls are made. Raises the error of the first call that failed."""
        self._queue.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (given := self._queue.get()) is not None:
            call, arguments = given
            try:
                if self._error is None:
                    call(*arguments)
            except BaseException as error:  # `wait` raises it; if this thread ended, `wait` would never return
                self._error = error
            finally:
                self._queue.task_done()
