"""A second thread for what lets other threads run: hashlib and files, while zlib inflates what comes next."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread

_AHEAD = 8  # calls that may wait: the memory of what they are given is bounded


class BackgroundCalls:
    """Makes calls one after the other in a thread of its own, which ends with the block, however that ends.

    with BackgroundCalls() as background:
        background.do(file.write, data)  # returns at once, unless too much waits already
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
        """Have a call made after all others. When one has failed, none is made any more."""
        self._queue.put((call, arguments))

    def wait(self) -> None:
        """Return when all calls are made. Raises what the first one raised that failed."""
        self._queue.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (given := self._queue.get()) is not None:
            call, arguments = given
            try:
                if self._error is None:
                    call(*arguments)
            except BaseException as error:  # kept for `wait`: a thread that died would leave others waiting for ever
                self._error = error
            finally:
                self._queue.task_done()
