"""Local steps that pull towards the server's adapter (FedProx) or towards all owners (SCAFFOLD).

Owners whose data differ walk apart in their local steps. Both rules change the gradient that a step
takes: from what the server sent and from what was learnt before, never from data. Behind `spend`
the gradient has its noise by then, so that all of it is post-processing.

    parameters = adapter_parameters(vlm)
    optimizer = LocalSgd(parameters, learning_rate=80.0, proximal_mu=0.01)
    spend(ledger, owner, vlm.model, loss_of, optimizer=optimizer, ...)
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from discreet.aggregation import State


class LocalSgd(torch.optim.SGD):
    """SGD whose gradient is mask * (gradient + proximal_mu * (p - anchor) + correction).

    The anchor is what the parameters are when it is made: load the server's state first. A
    parameter without a gradient has the gradient zero, as after a batch in which nobody was drawn.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        learning_rate: float,
        proximal_mu: float = 0.0,
        correction: State | None = None,
        mask: State | None = None,
    ) -> None:
        """Keep a copy of the parameters as the anchor.

        Args:
            parameters: What learns, by name.
            learning_rate: Above 0.
            proximal_mu: Strength of the pull to the anchor, 0 or more; 0 is plain SGD.
            correction: SCAFFOLD's c - c_i, a tensor for each parameter.
            mask: 1 where an owner of a smaller rank learns and 0 elsewhere, for each parameter.

        Raises:
            ValueError: if `proximal_mu` is below 0, or names or shapes differ.

        Source: Li et al. 2020, FedProx, Algorithm 2 (arXiv:1812.06127); Karimireddy et al. 2020,
        SCAFFOLD, Eq. 3 (arXiv:1910.06378).
        """
        if not proximal_mu >= 0:
            raise ValueError(f"Expected proximal_mu >= 0, got proximal_mu={proximal_mu}.")
        super().__init__(parameters.values(), lr=learning_rate)
        self._parameters = dict(parameters)
        self._proximal_mu = proximal_mu
        self._anchor = {name: p.detach().clone() for name, p in parameters.items()}
        self._correction = _fitting("correction", correction, parameters)
        self._mask = _fitting("mask", mask, parameters)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Change the gradients in place, and take a step of SGD.

        Raises:
            ValueError: if a closure is given: it would compute gradients without their noise.
        """
        if closure is not None:
            raise ValueError("Expected gradients that are there, got a closure. Leave it out.")
        for name, parameter in self._parameters.items():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if self._proximal_mu:
                parameter.grad.add_(parameter - self._anchor[name], alpha=self._proximal_mu)
            if self._correction:
                parameter.grad.add_(self._correction[name])
            if self._mask:
                parameter.grad.mul_(self._mask[name])
        super().step()


def _fitting(what: str, state: State | None, parameters: Mapping[str, nn.Parameter]) -> State:
    """Return a state on the devices of the parameters; nothing if there is none."""
    if state is None:
        return {}
    wanted = {name: p.shape for name, p in parameters.items()}
    if {name: value.shape for name, value in state.items()} != wanted:
        raise ValueError(
            f"Expected a {what} with the names and shapes of the {len(wanted)} parameters, got "
            f"{len(state)} tensors that differ. Pass those of this round's parameters."
        )
    return {name: value.to(parameters[name]) for name, value in state.items()}


def control_after(
    control_i: State,
    control: State,
    *,
    start: State,
    end: State,
    steps: int,
    learning_rate: float,
) -> State:
    """Return an owner's next control variate: the mean of the gradients of its local steps.

    It differs from `control_i` by -control - (end - start) / (steps * learning_rate): whoever knows
    the owner's update and `control` knows the change, and nothing has to be sent for it.

    Args:
        control_i: The owner's c_i, zeros at first.
        control: The server's c, the mean of all owners' c_i.
        start: The state that the server sent, x.
        end: The state after `steps` steps of `LocalSgd` with correction c - c_i, y_i.
        steps: K, 1 or more.
        learning_rate: Of the local steps.

    Source: Karimireddy et al. 2020, SCAFFOLD, Eq. 4, option II (arXiv:1910.06378).
    """
    per_step = 1 / (steps * learning_rate)
    return {
        name: value - control[name] + per_step * (start[name] - end[name])
        for name, value in control_i.items()
    }
