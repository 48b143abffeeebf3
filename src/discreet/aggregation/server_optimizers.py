"""Server optimizers: the step a server takes, given what a linear rule proposes.

proposed - previous is read as a negative gradient. What an optimizer keeps between rounds is
float32, so that a run that was stopped goes on with the same bits. Only tensors that learnt in the
round move: momentum of A would otherwise move it in RoLoRA's rounds of B.

Sources: Reddi et al. 2021 (arXiv:2003.00295), Algorithm 2; Hsu et al. 2019, FedAvgM
(arXiv:1909.06335).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch

from discreet.aggregation.states import State
from discreet.errors import ArtifactCorrupt

BETA_2 = 0.99
"""Decay of the second moment in the experiments of Reddi et al. 2021."""
TAU = 1e-3
"""Adaptivity, in units of the update; the value Reddi et al. 2021 fix in most of theirs."""


def _plain(change: torch.Tensor, memory: State, momentum: float) -> torch.Tensor:
    """FedAvg: go where the rule says."""
    return change


def _with_momentum(change: torch.Tensor, memory: State, momentum: float) -> torch.Tensor:
    """FedAvgM: v = momentum v + change; steady changes add up to 1 / (1 - momentum) of one."""
    return _decay(memory, "momentum", momentum, change)


def _adam(change: torch.Tensor, memory: State, momentum: float) -> torch.Tensor:
    """FedAdam as published: no bias correction, and the second moment starts at TAU**2."""
    first = _decay(memory, "momentum", momentum, (1 - momentum) * change)
    second = _decay(memory, "variance", BETA_2, (1 - BETA_2) * change.square(), start=TAU**2)
    return first / (second.sqrt() + TAU)


def _decay(
    memory: State, slot: str, rate: float, added: torch.Tensor, start: float = 0.0
) -> torch.Tensor:
    """Return rate * (what the slot held) + added, as float32 keeps it."""
    held = memory.get(slot, torch.full_like(added, start)).double()
    memory[slot] = (rate * held + added).float()
    return memory[slot].double()


SERVER_OPTIMIZERS: Mapping[str, Callable[[torch.Tensor, State, float], torch.Tensor]] = {
    "none": _plain,
    "momentum": _with_momentum,
    "adam": _adam,
}
"""Each returns the direction, given one tensor's change, its memory by slot, and the momentum."""

_SLOTS = {"none": (), "momentum": ("momentum",), "adam": ("momentum", "variance")}


@dataclass(kw_only=True, slots=True)
class ServerOptimizer:
    """One optimizer and what it remembers, 4 or 8 bytes for each number that learns."""

    name: str
    learning_rate: float
    momentum: float
    _memories: dict[str, State] = field(default_factory=dict, repr=False)

    def step(self, previous: State, proposed: State, learnt: Collection[str]) -> State:
        """Return the next state, float32.

        Args:
            previous: What was sent.
            proposed: What the rule made of it, of the same names and shapes.
            learnt: Names of the tensors that learnt in this round; the others stay as proposed.
        """
        moved = {}
        for name in learnt:
            before = previous[name].double()
            memory = self._memories.setdefault(name, {})
            change = proposed[name].double() - before
            direction = SERVER_OPTIMIZERS[self.name](change, memory, self.momentum)
            moved[name] = (before + self.learning_rate * direction).float()
        return {name: moved.get(name, tensor) for name, tensor in proposed.items()}

    def state(self) -> State:
        """Return what is remembered: `momentum/NAME` and `variance/NAME`, float32."""
        return {
            f"{slot}/{name}": tensor.clone()
            for name, memory in self._memories.items()
            for slot, tensor in memory.items()
        }

    def load(self, state: State) -> None:
        """Remember what `state` returned.

        Raises:
            ArtifactCorrupt: if it is the memory of another optimizer, or holds NaN or infinity.
        """
        slots = _SLOTS[self.name]
        names = sorted({key.partition("/")[2] for key in state})
        wanted = {f"{slot}/{name}" for slot in slots for name in names}
        if set(state) != wanted or not all(bool(t.isfinite().all()) for t in state.values()):
            raise ArtifactCorrupt(
                f"Expected {' and '.join(slots) or 'nothing'} of the server optimizer {self.name}, "
                f"finite, got {len(state)} tensors that are not. Resume with this run's checkpoint."
            )
        self._memories = {
            name: {slot: state[f"{slot}/{name}"].clone() for slot in slots} for name in names
        }


def make_server_optimizer(name: str, *, learning_rate: float, momentum: float) -> ServerOptimizer:
    """Return a server optimizer that remembers nothing yet.

    Args:
        name: A word of `SERVER_OPTIMIZERS`.
        learning_rate: Of the server; 1 with `none` takes what the rule proposes.
        momentum: In [0, 1); the decay of the first moment.

    Raises:
        ValueError: if the word is not known, or a number is out of range.
    """
    if name not in SERVER_OPTIMIZERS:
        raise ValueError(
            f"Expected server_optimizer as one of {', '.join(SERVER_OPTIMIZERS)}, got {name!r}."
        )
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"Expected a finite server_learning_rate > 0, got {learning_rate}.")
    if not 0 <= momentum < 1:
        raise ValueError(f"Expected 0 <= server_momentum < 1, got {momentum}.")
    return ServerOptimizer(name=name, learning_rate=learning_rate, momentum=momentum)
