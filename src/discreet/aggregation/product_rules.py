"""Rules that start from the mean of the owners' products; they differ in how they write it down.

An owner of a lower rank q holds the first q rows of A and columns of B; their product is what that
owner trained, and the rest of the layer's adapter is zero there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from discreet.aggregation.mean import Mean
from discreet.aggregation.products import ProductMean
from discreet.aggregation.rule import Accumulator, Combine, Compatibility
from discreet.aggregation.states import (
    Kind,
    State,
    check_shapes,
    delta_name,
    kind_of,
    layers_of,
    shapes_of,
)

Parts = Mapping[Kind, torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerRound:
    """What a rule knows of one layer once all updates are in."""

    products: ProductMean
    """Of what the owners trained, B A each."""
    previous: Parts
    """What was sent, float32; always with a delta."""
    means: Parts
    """A and B averaged for themselves, float64; empty with mixed ranks."""
    server_round: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductRule:
    """A rule that is told by how it writes a mean of products."""

    name: str
    """The word in the plan."""
    write: Callable[[LayerRound], dict[Kind, torch.Tensor]]
    """Returns a layer's new tensors."""
    compatibility: Compatibility
    is_linear: bool = False

    def learns(self, tensor: str, server_round: int) -> bool:
        """Return whether it is A, B or no factor; a delta is the server's."""
        return kind_of(tensor) in {"A", "B", None}

    def start(self, previous: State, server_round: int, combine: Combine) -> Accumulator:
        """Return what takes the updates of one round; `ProductMean` says how much memory."""
        if not isinstance(combine, Mean):
            raise ValueError(
                f"Expected the plain mean with {self.name}, got {type(combine).__name__}: the "
                "result is no sum of updates. Choose a linear rule, or leave combine at 'mean'."
            )
        layers = layers_of(previous)
        for layer, names in layers.items():
            if not {"A", "B"} <= set(names) <= {"A", "B", "delta"}:
                raise ValueError(
                    f"Expected A and B of '{layer}' with {self.name}, got {', '.join(names)}. "
                    "Both factors travel with this rule."
                )
        is_mixed = self.compatibility.mixed_ranks
        learnt = {n: t for n, t in previous.items() if self.learns(n, server_round)}
        averaged = {n: t for n, t in learnt.items() if not (is_mixed and kind_of(n))}
        return _Products(
            rule=self,
            previous=previous,
            layers=layers,
            server_round=server_round,
            learnt=learnt,
            means=Mean(shapes_of(averaged)),
            products={layer: ProductMean() for layer in layers},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Products:
    """The products of each layer, and the mean of what is no factor."""

    rule: ProductRule
    previous: State = field(repr=False)
    layers: dict[str, dict[Kind, str]]
    server_round: int
    learnt: State = field(repr=False)
    means: Mean
    products: dict[str, ProductMean] = field(repr=False)

    @property
    def count(self) -> int:
        """Return how many updates were added."""
        return self.means.count

    def add(self, update: State) -> None:
        """Take one more update."""
        check_shapes(update, self._wanted(update))
        trained = {layer: self._trained(layer, update) for layer in self.products}
        for layer, (left, right) in trained.items():
            self.products[layer].add(left, right)
        self.means.add({name: update[name] for name in self.means.shapes})

    def result(self) -> State:
        """Return the next state."""
        moved = self.means.result()
        means = {n: self.previous[n].double() + moved[n].double() for n in moved}
        new = {n: t.float() for n, t in means.items()}
        for layer, names in self.layers.items():
            written = self.rule.write(
                LayerRound(
                    products=self.products[layer],
                    previous=self._sent(layer),
                    means={kind: means[n] for kind, n in names.items() if n in means},
                    server_round=self.server_round,
                )
            )
            found = {**names, "delta": delta_name(layer)}
            new.update({found[kind]: t.float().contiguous() for kind, t in written.items()})
        return {**self.previous, **new}

    def _sent(self, layer: str) -> Parts:
        """Return the layer's tensors as they were sent, with a delta of zero if there was none."""
        sent = {k: self.previous[n] for k, n in self.layers[layer].items()}
        return {"delta": torch.zeros(len(sent["B"]), sent["A"].shape[1]), **sent}

    def _wanted(self, update: State) -> dict[str, tuple[int, ...]]:
        """Return the shapes an update has to have, given the rank of its A in each layer."""
        wanted = shapes_of(self.learnt)
        if not self.rule.compatibility.mixed_ranks:
            return wanted
        for names in self.layers.values():
            (r, inside), (out, _) = wanted[names["A"]], wanted[names["B"]]
            own = update.get(names["A"])
            rank = min(max(len(own), 1), r) if own is not None and own.ndim else r
            wanted[names["A"]], wanted[names["B"]] = (rank, inside), (out, rank)
        return wanted

    def _trained(self, layer: str, update: State) -> tuple[torch.Tensor, torch.Tensor]:
        """Return B (out, q) and A (q, in) of an owner, float64."""
        names = self.layers[layer]
        moved_a, moved_b = update[names["A"]].double(), update[names["B"]].double()
        rank = len(moved_a)
        a = self.previous[names["A"]][:rank].double() + moved_a
        b = self.previous[names["B"]][:, :rank].double() + moved_b
        if not a.norm() * b.norm() < torch.finfo(torch.float32).max:
            raise ValueError(
                f"Expected a product of the factors of '{layer}' that float32 holds, got a larger "
                "one. Leave this owner out."
            )
        return b, a
