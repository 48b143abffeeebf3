"""Random rounds of several owners, and the dense mean of what they trained as the oracle."""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st

from discreet.aggregation import RULES, Rule, State, make_combine

LAYERS = ("model.layers.0.q_proj", "model.layers.1.v_proj")
BIAS = "0.weight"


def a_of(layer: str) -> str:
    return f"{layer}.lora_A.default.weight"


def b_of(layer: str) -> str:
    return f"{layer}.lora_B.default.weight"


@dataclass
class Round:
    """What was sent, and what each owner trained; `ranks` has one for each owner."""

    previous: State
    trained: list[State]
    ranks: list[int]

    @property
    def updates(self) -> list[State]:
        return [
            {n: (t - cut(n, self.previous[n], r)) for n, t in state.items()}
            for state, r in zip(self.trained, self.ranks, strict=True)
        ]

    def dense_mean(self, layer: str) -> np.ndarray:
        """The mean of the products in float64: the same numbers the server can work out."""
        products = []
        for update, r in zip(self.updates, self.ranks, strict=True):
            a, b = a_of(layer), b_of(layer)
            left = cut(b, self.previous[b], r).double() + update[b].double()
            right = cut(a, self.previous[a], r).double() + update[a].double()
            products.append(left.numpy() @ right.numpy())
        return np.mean(products, axis=0)


def cut(name: str, tensor: torch.Tensor, r: int) -> torch.Tensor:
    """What an owner of rank r has of a tensor."""
    if ".lora_A." in name:
        return tensor[:r]
    return tensor[:, :r] if ".lora_B." in name else tensor


def make_round(
    *, owners: int, r: int, out: int, inside: int, seed: int, is_mixed: bool = False
) -> Round:
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    previous: State = {BIAS: normal(3)}
    for layer in LAYERS:
        previous |= {a_of(layer): normal(r, inside), b_of(layer): normal(out, r)}
    ranks = [
        int(torch.randint(1, r + 1, (), generator=draw)) if is_mixed else r for _ in range(owners)
    ]
    trained = [
        {n: cut(n, t, q) + normal(*cut(n, t, q).shape) for n, t in previous.items()} for q in ranks
    ]
    return Round(previous, trained, ranks)


def rounds(*, is_mixed: bool = False, least_owners: int = 1) -> st.SearchStrategy[Round]:
    return st.builds(
        make_round,
        owners=st.integers(least_owners, 6),
        r=st.integers(1, 5),
        out=st.integers(1, 9),
        inside=st.integers(1, 9),
        seed=st.integers(0, 2**16),
        is_mixed=st.just(is_mixed),
    )


def learnt_by(rule: Rule, state: State, server_round: int) -> State:
    return {n: t for n, t in state.items() if rule.learns(n, server_round)}


def aggregate(name: str, previous: State, updates: list[State], *, server_round: int = 1) -> State:
    """The next state by a rule; updates may hold tensors that do not learn in the round."""
    rule = RULES[name]
    learnt = learnt_by(rule, previous, server_round)
    combine = make_combine("mean", {n: tuple(t.shape) for n, t in learnt.items()}, hostile=0)
    accumulator = rule.start(previous, server_round, combine)
    for update in updates:
        accumulator.add({n: t for n, t in update.items() if n in learnt})
    assert accumulator.count == len(updates)
    return accumulator.result()


def error(got: torch.Tensor, wanted: np.ndarray) -> float:
    """The length of the difference over that of what was wanted."""
    return float(np.linalg.norm(got.double().numpy() - wanted) / (np.linalg.norm(wanted) or 1))
