"""Switches of other libraries by which they report, install and look up nothing, and say less.

Names and values, and functions that set them; nothing is set on import.

    >>> import os
    >>> with quietly():
    ...     os.environ["RAY_USAGE_STATS_ENABLED"]  # as processes that start here inherit it
    '0'
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_ENABLE_EVENT_LOG": "0",
    "FLWR_TRACING_ENABLED": "0",
    "FORWARDED_ALLOW_IPS": "127.0.0.1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TRANSFORMERS_OFFLINE": "1",
}
"""What no caller's environment may turn on again in a process that this kit starts: reports to
makers, installs, look-ups; and the only address from which a header may say who is calling."""

_NOISE = (
    "The PEFT config's `base_model_name_or_path` was renamed",
    "`is_gradient_checkpointing` is deprecated",
)
"""Warnings of libraries about their own insides; pyproject.toml says why each is harmless."""


def quiet_warnings() -> None:
    """Keep libraries of this process from warning of what nobody can change; for programs only.

    PEFT imports bitsandbytes, which warns of kernels that nobody needs: call it before that.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)


@contextmanager
def quietly(**more: str) -> Iterator[None]:
    """Let processes that start inside the block inherit `QUIET` and `more`; then put back."""
    ours = {**QUIET, **more}
    former = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
