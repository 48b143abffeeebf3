"""Child processes with a process group of their own, and the environment they get.

    with Child.start(["flower-superlink", "--insecure"], home=folder) as child:
        child.wait()

Guarantee: when the block ends, nothing of the group runs any more.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from discreet.quiet import QUIET

GRACE_SECONDS = 10.0
"""Time between the request to end and the end."""
_POLL_SECONDS = 0.1
_OLD_DOORS = ("FLWR_INTERNAL_GRPC_CONTROL_API", "FLWR_INTERNAL_GRPC_FLEET_API")
"""Variables that make Flower's server listen on more ports, with no gate before them."""


def environment(home: Path) -> dict[str, str]:
    """Return the environment of Flower's processes: quiet, and at home in `home`.

    Flower starts its workers by name, so the folder of this Python comes first on the path.
    """
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        **{name: value for name, value in os.environ.items() if name not in _OLD_DOORS},
        **QUIET,
        "FLWR_HOME": str(home.resolve()),
        "PATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "XDG_DATA_HOME": str(home.resolve()),
    }


@dataclass(slots=True)
class Child:
    """A process that leads a group, and everything that it starts."""

    process: subprocess.Popen[bytes] = field(repr=False)
    grace_seconds: float = GRACE_SECONDS

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        home: Path,
        log: Path | None = None,
        holds: Sequence[int] = (),
    ) -> "Child":
        """Start a command.

        Args:
            command: The program and its arguments; other users of the machine can read them.
            home: Flower's folder.
            log: File that what it says is added to; by default it goes where ours goes.
            holds: Open files that it keeps open, with their locks, until it ends.
        """
        home.mkdir(parents=True, exist_ok=True)
        stream = None if log is None else log.open("ab")
        try:
            process = subprocess.Popen(
                list(command),
                env=environment(home),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                pass_fds=holds,
            )
        finally:
            if stream is not None:
                stream.close()
        return cls(process)

    @property
    def is_running(self) -> bool:
        """Say whether the first process of the group runs."""
        return self.process.poll() is None

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Return the first process's exit status once it ends."""
        return self.process.wait(timeout_seconds)

    def stop(self) -> None:
        """End the whole group: asked first, then killed."""
        self._signal(signal.SIGTERM)
        if not self._is_gone_within(self.grace_seconds):
            self._signal(signal.SIGKILL)
            self._is_gone_within(self.grace_seconds)

    def __enter__(self) -> "Child":
        """Return the process."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the group."""
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _is_gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._has_members():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _has_members(self) -> bool:
        self.process.poll()  # reaps the leader: a zombie still counts as a member
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True
