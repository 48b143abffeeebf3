"""What a plan says about messages: which tensors travel, in which form, and which of them learn.

Beside the adapter, tensors of other kinds travel or are kept under prefixes of their own: control
variates of SCAFFOLD (`control/`), and what a lossy form left out (`left/`, which never travels).
"""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from discreet.aggregation import RULES, Rule, Shapes, State
from discreet.federated.codec import Codec, make_codec
from discreet.federated.config import TrainConfig
from discreet.federated.ranks import cut_shapes

CONTROL = "control/"
LEFT = "left/"
_HEADER = 128
"""Bytes before the numbers of an array, as NumPy writes them."""
_ABOUT_ARRAY = 128
"""Bytes that a message says of an array."""
ABOUT_REPLY = 4096
"""Bytes beside the arrays of a reply: metrics, a nonce, and what a later version may say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """How many bytes one reply may hold."""

    numbers: int
    """Of the arrays, their headers included."""
    about: int
    """Of everything else: names, labels, metrics, nonces, parts of a secure sum."""

    @property
    def total(self) -> int:
        """Of all records together."""
        return self.numbers + self.about


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The plan, with the shapes of the adapter it is about."""

    config: TrainConfig
    shapes: Shapes = field(repr=False)
    """Everything that the server sends, at the full rank."""
    down: Codec
    """Form of what the server sends."""
    up: Codec
    """Form of what owners send."""

    @classmethod
    def of(cls, config: TrainConfig, adapter: State) -> Self:
        """Return the terms of a plan for an adapter."""
        shapes = {name: tuple(value.shape) for name, value in adapter.items()}
        if config.local_rule == "scaffold":
            shapes |= {f"{CONTROL}{name}": shape for name, shape in shapes.items()}
        return cls(
            config=config,
            shapes=shapes,
            down=make_codec(config.wire_down, share=config.topk_share),
            up=make_codec(config.wire, share=config.topk_share),
        )

    @property
    def rule(self) -> Rule:
        """How one adapter is made of many."""
        return RULES[self.config.aggregation]

    @property
    def has_memory(self) -> bool:
        """Return whether owners keep something from round to round."""
        return self.config.local_rule == "scaffold" or self.config.wire == "topk"

    def learns(self, server_round: int) -> list[str]:
        """Return the adapter's tensors that learn in a round, in order."""
        return [
            name
            for name in self.shapes
            if not name.startswith(CONTROL) and self.rule.learns(name, server_round)
        ]

    def shapes_up(self, server_round: int) -> list[Shapes]:
        """Return what an update of a round may look like, one for each rank, the largest first."""
        sent = {name: self.shapes[name] for name in self.learns(server_round)}
        ranks = sorted(set(self.config.ranks), reverse=True)
        return [cut_shapes(sent, rank) for rank in ranks]

    def room_up(self, server_round: int) -> Room:
        """Return what all of a reply may hold: the numbers of an update, names and a little room.

        Masked numbers are as many, of 4 bytes each as those of float32, and a loss is one more.
        """
        specs = self.up.specs(self.shapes_up(server_round)[0])
        return Room(
            numbers=_HEADER
            + sum(
                _HEADER + np.dtype(dtype).itemsize * math.prod(shape)
                for dtype, shape in specs.values()
            ),
            about=ABOUT_REPLY + sum(len(name) + _ABOUT_ARRAY for name in specs),
        )

    @staticmethod
    def adapter_of(state: State) -> State:
        """Return a state without its control variates."""
        return {name: value for name, value in state.items() if not name.startswith(CONTROL)}


def with_prefix(prefix: str, state: State) -> State:
    """Return a state under names with a prefix."""
    return {f"{prefix}{name}": value for name, value in state.items()}


def of_prefix(prefix: str, state: State) -> State:
    """Return the tensors under a prefix, without it."""
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
