"""What a record of numbers begins with: which code, on which machine."""

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import torch

import discreet
from discreet.artifacts import code_commit, sha256_of_file


def made_by() -> dict[str, Any]:
    """Return what a record of numbers begins with: the code's commit, and the machine."""
    return {"commit": code_commit(), "hardware": _hardware()}


def _hardware() -> dict[str, object]:
    """Return what the machine is, and nothing that names it."""
    info = Path("/proc/cpuinfo")
    models = (
        [
            line.split(":")[1].strip()
            for line in info.read_text().splitlines()
            if "model name" in line
        ]
        if info.exists()
        else []
    )
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def code_sha256() -> str:
    """Return one hash of every module that runs, which tells changed code from a commit's."""
    root, digest = Path(discreet.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{sha256_of_file(path)}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()
