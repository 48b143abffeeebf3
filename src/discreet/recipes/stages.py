"""One loop for every training stage: seeded, resumable, its curve kept.

A stage says how the loss of step t is formed and differentiated; what a step draws follows from the
seed and its number alone, so that a stage that was stopped goes on as if it had not been. The
checkpoint is a safetensors file beside what the stage makes, and is removed with its last step.

    >>> [epoch for epoch, place in batch_of(6, size=4, seed=0, step=1)]
    [0, 0, 1, 1]
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from discreet.artifacts import write_bytes
from discreet.errors import ArtifactCorrupt, DataError

SAVE_EVERY = 20
"""Steps between two checkpoints."""
CURVE_EVERY = 10
"""Steps between two points of a curve."""
Settings = TypeVar("Settings")
OnStep = Callable[[int, int, float], None]
"""Told step, steps and loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How far and how fast a stage goes."""

    steps: int
    """Updates, 1 or more."""
    learning_rate: float
    """Of AdamW, at its height; rises over `warm_steps` and falls to zero along a cosine."""
    warm_steps: int = 10
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rising = min(1.0, (step + 1) / max(1, self.warm_steps))
        return self.learning_rate * rising * (1 + math.cos(math.pi * step / self.steps)) / 2


def run_stage(
    parameters: Mapping[str, nn.Parameter],
    descend: Callable[[int], list[float]],
    course: Course,
    *,
    checkpoint: Path,
    settings: object,
    on_step: OnStep = lambda step, steps, loss: None,
) -> list[list[float]]:
    """Train parameters in place; return every tenth step's losses.

    Args:
        parameters: What learns, by name.
        descend: Forms the losses of a step, adds their gradients, and returns them.
        course: Steps and rates.
        checkpoint: Where an interrupted stage goes on from; need not exist.
        settings: A dataclass; a checkpoint of other settings is refused.
        on_step: Told after each step.

    Raises:
        ArtifactCorrupt: if the checkpoint is damaged or of another stage.
    """
    learner = torch.optim.AdamW(
        parameters.values(), lr=course.learning_rate, weight_decay=course.weight_decay
    )
    key = json.dumps([asdict(settings), asdict(course)], sort_keys=True)  # type: ignore[call-overload]
    start = 0
    curve: list[list[float]] = []
    if checkpoint.is_file():
        start, curve = _take_up(checkpoint, parameters, learner, key)
    for step in range(start, course.steps):
        learner.param_groups[0]["lr"] = course.rate(step)
        learner.zero_grad()
        losses = descend(step)
        nn.utils.clip_grad_norm_(parameters.values(), course.max_grad_norm)
        learner.step()
        done = step + 1
        if done % CURVE_EVERY == 0 or done == course.steps:
            curve.append([round(loss, 4) for loss in losses])
        if done % SAVE_EVERY == 0 and done < course.steps:
            _put_down(checkpoint, parameters, learner, key, done, curve)
        on_step(done, course.steps, sum(losses))
    checkpoint.unlink(missing_ok=True)
    return curve


def checkpoint_beside(out: Path) -> Path:
    """Return where a stage that makes `out` keeps its checkpoint."""
    return out.with_suffix(".checkpoint")


def generator_of(*key: int) -> torch.Generator:
    """Return a generator that follows from whole numbers, such as a seed and a step."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def batch_of(count: int, *, size: int, seed: int, step: int) -> list[tuple[int, int]]:
    """Return epoch and index of each member of a step's batch.

    Each of `count` indices comes once in an epoch, in an order that follows from the seed.
    """
    first = step * size
    order: dict[int, list[int]] = {}
    batch = []
    for place in range(first, first + size):
        epoch, inside = divmod(place, count)
        if epoch not in order:
            order[epoch] = torch.randperm(count, generator=generator_of(seed, epoch)).tolist()
        batch.append((epoch, order[epoch][inside]))
    return batch


def read_settings(kind: type[Settings], path: Path) -> Settings:
    """Return a stage's settings from a TOML file; what it does not name keeps its default.

    Raises:
        DataError: if it cannot be read, or has a key or a type that the settings do not have.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"Expected TOML in '{path.name}', could not read it: {error}.") from error
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name, value in found.items():
        if name not in known:
            raise DataError(f"Expected settings among {', '.join(known)}, got '{name}'.")
        if type(value) is not known[name].type and not (
            known[name].type is float and type(value) is int
        ):
            raise DataError(f"Expected {name} as {known[name].type.__name__}, got {value!r}.")  # type: ignore[union-attr]
    return kind(**found)


def _put_down(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    learner: torch.optim.Optimizer,
    key: str,
    step: int,
    curve: list[list[float]],
) -> None:
    """Write where a stage is, replacing what was there whole."""
    tensors = {}
    for name, parameter in parameters.items():
        own = learner.state[parameter]
        tensors[f"{name}/value"] = parameter.detach()
        tensors[f"{name}/mean"], tensors[f"{name}/square"] = own["exp_avg"], own["exp_avg_sq"]
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    state = json.dumps({"key": key, "step": step, "curve": curve})
    write_bytes(path, save(tensors, metadata={"stage": state}))


def _take_up(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    learner: torch.optim.Optimizer,
    key: str,
) -> tuple[int, list[list[float]]]:
    """Put a checkpoint into parameters and optimiser; return its step and curve."""
    try:
        with safe_open(path, "pt") as file:
            state: dict[str, Any] = json.loads(file.metadata()["stage"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if state["key"] != key:
            raise ValueError("other settings")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"{name}/value"])
                learner.state[parameter] = {
                    "step": torch.tensor(float(state["step"])),
                    "exp_avg": tensors[f"{name}/mean"],
                    "exp_avg_sq": tensors[f"{name}/square"],
                }
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArtifactCorrupt(
            f"Expected a checkpoint of this stage in '{path.name}', got another or a damaged one. "
            "Remove the file to begin anew."
        ) from error
    return int(state["step"]), list(state["curve"])
