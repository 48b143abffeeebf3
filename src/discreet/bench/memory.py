"""What a process takes of memory, as Linux tells it.

`getrusage` carries over what the process that started this one held; `/proc/self/status` does not.

Holds nothing.

>>> STATUS.exists() and memory_bytes("VmHWM") < memory_bytes("VmRSS")
False
"""

from pathlib import Path
from typing import Literal

STATUS = Path("/proc/self/status")
"""Where Linux says what a process takes; elsewhere memory cannot be told."""


def memory_bytes(field: Literal["VmHWM", "VmRSS"]) -> int:
    """Return this process's memory: the most it had (`VmHWM`), or what it has now (`VmRSS`).

    Raises:
        OSError: where the system does not tell it.
    """
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024
