"""One worker for one model: what waits to be written is written together.

A turn asks for a few rows, each a `Request`. The worker takes what waits, oldest first, and writes
it in one `answer_all`; each row goes to the function that asked for it, and to no other. It knows
nothing of visitors (`engine`).

>>> from discreet.model import load
>>> vlm = load("tiny")
>>> request = Request(messages=[{"role": "user", "content": "Why?"}], max_new_tokens=2)
>>> with Passes(vlm, most_rows=8) as passes:
...     [answer.ended for answer in passes.write([request])]
['length']
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Condition, Thread
from typing import Self

from discreet.errors import Stopped
from discreet.model import Answer, Enough, Request, Vlm, answer_all

STOPPED = "Expected to answer to the end, but it was stopped. Ask again."


class Passes:
    """The queue of what is to be written, and the thread that does it."""

    def __init__(self, vlm: Vlm, *, most_rows: int) -> None:
        """Start the worker.

        Args:
            vlm: The model, which nobody else may run meanwhile.
            most_rows: Of a pass; a turn that asks for more has a pass of its own.
        """
        self._vlm = vlm
        self._most_rows = most_rows
        self._jobs: deque[_Job] = deque()
        self._news = Condition()
        self._closed = False
        self._worker = Thread(target=self._work, name="passes", daemon=True)
        self._worker.start()

    def __enter__(self) -> Self:
        """Return the queue."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End the worker."""
        self.close()

    def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Stop what is written at its next word, refuse what waits, and end the worker."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._worker.join(timeout_seconds)

    def write(
        self, requests: Sequence[Request], *, stopped: Callable[[], bool] = lambda: False
    ) -> list[Answer]:
        """Return the answers, as `answer_all` does, once the worker has written them.

        Args:
            requests: Rows of one turn.
            stopped: Asked at each word of each row; once it says so, the rows end.

        Raises:
            Stopped: if `stopped` said so, or the worker ended.
            Exception: what `answer_all`, or a function that receives a row, raised for these rows.
        """
        job = _Job(tuple(requests), lambda: self._closed or stopped())
        with self._news:
            if self._closed:
                raise Stopped(STOPPED)
            self._jobs.append(job)
            self._news.notify_all()
        return job.future.result()

    def _work(self) -> None:
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        """Write what waits, and let go of it; return whether there may be more."""
        jobs = self._next()
        if jobs:
            self._write(jobs)
        return bool(jobs)

    def _next(self) -> list["_Job"]:
        """Wait for work and return as much as one pass takes; nothing once all is closed."""
        with self._news:
            self._news.wait_for(lambda: self._jobs or self._closed)
            taken: list[_Job] = []
            while self._jobs and self._has_room(taken):
                job = self._jobs.popleft()
                if job.stopped():
                    job.future.set_exception(Stopped(STOPPED))
                else:
                    taken.append(job)
        return taken if taken or self._closed else self._next()

    def _has_room(self, taken: list["_Job"]) -> bool:
        rows = sum(len(job.requests) for job in [*taken, self._jobs[0]])
        return not taken or rows <= self._most_rows

    def _write(self, jobs: list["_Job"]) -> None:
        """Write the rows of some jobs; one that cannot be written does not take others along."""
        try:
            answers = iter(answer_all(self._vlm, [row for job in jobs for row in job.rows()]))
        except Exception as error:  # the worker lives on, and whoever asked raises it
            alone = len(jobs) == 1
            for job in jobs:
                if alone or job.is_heard:
                    job.future.set_exception(error)
                else:
                    self._write([job])
            return
        for job in jobs:
            job.close([next(answers) for _ in job.requests])


@dataclass(slots=True)
class _Job:
    """What one turn asks for."""

    requests: tuple[Request, ...]
    stopped: Callable[[], bool]
    future: "Future[list[Answer]]" = field(default_factory=Future)
    is_heard: bool = False
    """Whether any of it was handed out, so that it cannot be written anew."""
    _error: Exception | None = None

    def rows(self) -> list[Request]:
        """Return the rows, which end where somebody stops them or fails to take them."""
        return [replace(row, on_text=self._heard_by(row.on_text)) for row in self.requests]

    def close(self, answers: list[Answer]) -> None:
        """Hand out what was written, or say why it was not."""
        if self._error is not None:
            self.future.set_exception(self._error)
        elif self.stopped():
            self.future.set_exception(Stopped(STOPPED))
        else:
            self.future.set_result(answers)

    def _heard_by(self, on_text: Callable[[str], None] | None) -> Callable[[str], None]:
        def take(piece: str) -> None:
            if self.stopped():
                raise Enough
            self.is_heard = True
            try:
                if on_text is not None:
                    on_text(piece)
            except Enough:
                raise
            except Exception as error:  # its own turn raises it; the other rows go on
                self._error = error
                raise Enough from error

        return take
