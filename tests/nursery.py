"""Processes to be killed: one imports and builds, and forks for each that a test asks for.

A module of the tests is run with `python -m`; it calls `serve`, which says its id once it is ready,
reads lines of JSON, and answers each with the id of a new process; after one more line, with its
exit status once it has ended. In a test:

    with Nursery.of("privacy.crashing") as nursery:
        nursery.run(kill_after=0.1, work="train", folder="...")
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import discreet

FOUND_IN = [str(Path(__file__).parent), str(Path(discreet.__file__).parents[1])]
"""Folders of the tests and of what they test."""


class Nursery:
    """Starts processes that have everything imported, one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._number() == process.pid, "it is ready"

    @classmethod
    @contextmanager
    def of(cls, module: str) -> Iterator[Self]:
        """Yield one that runs a module of the tests."""
        with subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(FOUND_IN)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield cls(process)

    def start(self, **request: object) -> int:
        """Return the id of a new process."""
        return self._ask(json.dumps(request))

    def end(self) -> int:
        """Wait for the process; return its exit status, negative for a signal."""
        return self._ask("")

    def run(self, *, kill_after: float | None = None, **request: object) -> int:
        """Start a process, perhaps kill it, and return how it ended."""
        child = self.start(**request)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        return self.end()

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._number()

    def _number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to write any file beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def serve(work: Callable[..., None]) -> None:
    """Fork a process for each line, until there are no more; `work` gets what the line says."""
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(**request)
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        print(child, flush=True)
        sys.stdin.readline()  # until then its id is not given to another
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
