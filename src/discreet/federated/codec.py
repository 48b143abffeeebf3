"""How tensors are written for the wire: as they are, in fewer bits, or their largest numbers only.

It turns tensors into arrays and back, and knows nothing of messages, rounds or noise. What it does
with an update that already has its noise is post-processing: it costs no epsilon and saves none.
Every array has a form that follows from the public shapes alone, so that a receiver compares
headers with `specs` before it sets memory aside, and the size of a message tells nothing.

    >>> codec = make_codec("int8")
    >>> codec.specs({"b": (3,)})
    {'b': ('|i1', (3,)), 'b/scale': ('<f4', ())}
    >>> arrays = codec.encode({"b": torch.tensor([127.0, 0.0, -3.0])}, CounterGenerator.from_os())
    >>> codec.decode(arrays, {"b": (3,)})["b"]
    tensor([127.,   0.,  -3.])

| codec | what comes back |
|---|---|
| float32 | the number |
| bfloat16 | the nearest: off by 2**-8 of it at most, or by 2**-134 |
| float16 | the nearest: off by 2**-11 of it at most, or by 2**-25; up to 65,504 |
| int8 | a neighbour on a grid with a step of 1/127 of the tensor's largest, on average the number |
| topk | of the largest numbers of a tensor each itself, of the others 0 |
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from discreet.aggregation import Shapes, State
from discreet.federated.bad_message import BadMessage
from discreet.privacy import CounterGenerator

Shape = tuple[int, ...]

Spec = tuple[str, Shape]
"""What an array on the wire is: its data type as NumPy writes it ("<f4"), and its shape."""

Array = npt.NDArray[np.generic]

TOPK_SHARE = 0.1
"""Numbers of a tensor that `topk` sends, of all."""


class Form(Protocol):
    """How one tensor becomes arrays; each has a suffix, which follows the tensor's name."""

    @property
    def largest(self) -> float:
        """The largest magnitude that can be written."""

    @property
    def is_sparse(self) -> bool:
        """Whether numbers are left out."""

    def specs(self, shape: Shape) -> dict[str, Spec]:
        """Return what the arrays are, by suffix."""

    def encode(self, values: torch.Tensor, generator: CounterGenerator) -> dict[str, Array]:
        """Return the arrays of a finite float32 tensor, by suffix."""

    def decode(self, arrays: Mapping[str, Array], shape: Shape) -> torch.Tensor:
        """Return the tensor of arrays that are as specified, whatever numbers they hold."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to write a state as arrays that a message can carry, and to read it again."""

    name: str
    form: Form

    @property
    def is_sparse(self) -> bool:
        """Whether numbers are left out: then for updates only, with `encode_with_feedback`."""
        return self.form.is_sparse

    def specs(self, shapes: Shapes) -> dict[str, Spec]:
        """Return exactly the arrays that `encode` gives for tensors of these shapes.

        Raises:
            ValueError: if two arrays would have one name.
        """
        named = [
            (name + suffix, spec)
            for name, shape in shapes.items()
            for suffix, spec in self.form.specs(shape).items()
        ]
        specs = dict(named)
        if len(specs) < len(named):
            raise ValueError(
                f"Expected {len(named)} arrays of different names, got {len(specs)}. Do not end "
                "the name of a tensor in /scale, /index or /value."
            )
        return specs

    def encode(self, state: State, generator: CounterGenerator) -> dict[str, Array]:
        """Return the arrays of a state, in order of `specs`.

        Args:
            state: Finite tensors. Noise, if there is to be any, is in them already.
            generator: Coins for rounding (int8 only); not the stream that noise comes from.

        Raises:
            ValueError: if a number is not finite, or larger than the codec can write.
        """
        arrays: dict[str, Array] = {}
        for name, tensor in state.items():
            values = tensor.detach().to("cpu", torch.float32)
            if not bool((values.abs() <= self.form.largest).all()):
                raise ValueError(
                    f"Expected numbers up to {self.form.largest:.4g} in '{name}' for the codec "
                    f"{self.name}, got larger ones, NaN or infinity. Lower the learning rate, or "
                    "plan with wire = 'bfloat16' or 'float32'."
                )
            parts = self.form.encode(values, generator)
            arrays.update({name + suffix: array for suffix, array in parts.items()})
        return arrays

    def decode(self, arrays: Mapping[str, Array], shapes: Shapes) -> State:
        """Return the tensors of arrays that somebody else wrote; they share no memory with them.

        How much memory is taken follows from `shapes`, whatever the arrays say.

        Raises:
            BadMessage: if an array is missing, unknown or of another type or shape, or if its
                numbers cannot come from `encode`.
        """
        _require_specs({n: (a.dtype.str, a.shape) for n, a in arrays.items()}, self.specs(shapes))
        state = {}
        for name, shape in shapes.items():
            parts = {suffix: arrays[name + suffix] for suffix in self.form.specs(shape)}
            state[name] = self.form.decode(parts, shape)
            if not bool(state[name].isfinite().all()):
                raise BadMessage(f"Expected finite values in '{name}', got NaN or infinity.")
        return state


def _require_specs(got: Mapping[str, Spec], wanted: Mapping[str, Spec]) -> None:
    """Refuse arrays that are not exactly those that were agreed on."""
    if got.keys() != wanted.keys():
        raise BadMessage(
            f"Expected {len(wanted)} arrays, got {len(got)}: {len(wanted.keys() - got.keys())} are "
            f"missing, {len(got.keys() - wanted.keys())} are not known. All owners need the same "
            "adapter settings and the same codec."
        )
    for name, (dtype, shape) in wanted.items():
        if got[name] != (dtype, shape):
            raise BadMessage(
                f"Expected '{name}' of shape {shape} in {dtype}, got shape {got[name][1]} in "
                f"{got[name][0]}. All owners need the same adapter settings and the same codec."
            )


def encode_with_feedback(
    codec: Codec, update: State, residual: State, generator: CounterGenerator
) -> tuple[dict[str, Array], State]:
    """Return the arrays of an update with all that earlier ones lost, and what is lost now.

    After T rounds, all that was decoded and the last residual together are all updates, up to
    rounding of float32: nothing is lost, it comes later.

    Args:
        codec: Any; it is `topk` that needs it.
        update: Of this round.
        residual: What the round before gave; a name that it lacks counts as zeros, and names that
            only it has (tensors that do not learn in this round) are kept as they are.
        generator: As for `Codec.encode`.

    Source: Stich, Cordonnier, Jaggi 2018, Algorithm 1 (arXiv:1809.07599).
    """
    owed = {n: u + residual[n] if n in residual else u.clone() for n, u in update.items()}
    arrays = codec.encode(owed, generator)
    sent = codec.decode(arrays, {name: tuple(value.shape) for name, value in owed.items()})
    return arrays, {**residual, **{name: owed[name] - sent[name] for name in owed}}


@dataclass(frozen=True, slots=True)
class _Cast:
    """Each number rounded to the nearest of a type."""

    dtype: torch.dtype
    wire: str
    bits: torch.dtype
    """Whole numbers of the same size: NumPy has no bfloat16."""
    is_sparse = False

    @property
    def largest(self) -> float:
        return float(torch.finfo(self.dtype).max)

    def specs(self, shape: Shape) -> dict[str, Spec]:
        return {"": (self.wire, shape)}

    def encode(self, values: torch.Tensor, generator: CounterGenerator) -> dict[str, Array]:
        bits = values.to(self.dtype, copy=True).contiguous().view(self.bits)
        return {"": bits.numpy().view(self.wire)}

    def decode(self, arrays: Mapping[str, Array], shape: Shape) -> torch.Tensor:
        bits = torch.from_numpy(arrays[""].view(f"<i{self.bits.itemsize}").copy())
        return bits.view(self.dtype).float()


@dataclass(frozen=True, slots=True)
class _Int8:
    """Whole multiples, from -127 to 127, of one step for each tensor; rounded up or down by chance.

    The step has 17 bits, so that each multiple is a float32: what is on the grid comes back as it
    was. Rounding to the nearest would lose what is below half a step in every round again.

    Source: Alistarh et al. 2017, QSGD, section 3.1 (arXiv:1610.02132), with the largest number in
    place of the norm.
    """

    is_sparse = False

    @property
    def largest(self) -> float:
        return 2.0**127

    def specs(self, shape: Shape) -> dict[str, Spec]:
        return {"": ("|i1", shape), "/scale": ("<f4", ())}

    def encode(self, values: torch.Tensor, generator: CounterGenerator) -> dict[str, Array]:
        step = _least_step(float(values.abs().max()) if values.numel() else 0.0)
        multiples = values.double() / (step or 1.0)
        below = multiples.floor()
        up = generator.uniform(values.numel()).view(values.shape) < multiples - below
        return {"": (below + up).to(torch.int8).numpy(), "/scale": np.array(step, dtype="<f4")}

    def decode(self, arrays: Mapping[str, Array], shape: Shape) -> torch.Tensor:
        multiples, step = torch.tensor(arrays[""]), float(arrays["/scale"])
        if not 0 <= step < math.inf or bool((multiples == -128).any()):
            raise BadMessage("Expected int8 from -127 to 127 and a finite scale >= 0, got others.")
        return multiples.float() * step


def _least_step(largest: float) -> float:
    """Return the least step with 127 multiples up to a magnitude: 17 bits, or whole 2**-149."""
    exponent = math.frexp(largest / 127)[1]
    place = max(exponent - 17, -149)
    return math.ldexp(math.ceil(math.ldexp(largest / 127, -place)), place)


@dataclass(frozen=True, slots=True)
class _TopK:
    """The largest numbers of a tensor with their places, as many for every tensor of a shape.

    Few numbers stand for all where most are near zero. Those of Gaussian noise are not: the largest
    tenth of them holds 44 % of its squares.

    Source: Aji and Heafield 2017 (arXiv:1704.05021), each tensor on its own.
    """

    share: float
    is_sparse = True

    @property
    def largest(self) -> float:
        return float(torch.finfo(torch.float32).max)

    def specs(self, shape: Shape) -> dict[str, Spec]:
        size = math.prod(shape)
        kept = (math.ceil(self.share * size),)
        return {"/index": ("<u2" if size <= 2**16 else "<u4", kept), "/value": ("<f4", kept)}

    def encode(self, values: torch.Tensor, generator: CounterGenerator) -> dict[str, Array]:
        specs = self.specs(tuple(values.shape))
        dtype, (kept,) = specs["/index"]
        flat = values.flatten()
        places = flat.abs().topk(kept).indices.sort().values
        return {
            "/index": places.numpy().astype(dtype),
            "/value": flat[places].numpy().astype("<f4"),
        }

    def decode(self, arrays: Mapping[str, Array], shape: Shape) -> torch.Tensor:
        places = torch.from_numpy(arrays["/index"].astype("<i8"))
        flat = torch.zeros(math.prod(shape))
        if not bool((places[1:] > places[:-1]).all()) or not bool((places < len(flat)).all()):
            raise BadMessage("Expected places in ascending order within the tensor, got others.")
        flat[places] = torch.tensor(arrays["/value"])
        return flat.view(shape)


CODECS: Mapping[str, Callable[[float], Form]] = {
    "float32": lambda share: _Cast(torch.float32, "<f4", torch.int32),
    "bfloat16": lambda share: _Cast(torch.bfloat16, "<u2", torch.int16),
    "float16": lambda share: _Cast(torch.float16, "<f2", torch.int16),
    "int8": lambda share: _Int8(),
    "topk": _TopK,
}
"""Name -> what writes tensors so, given the share of numbers to keep, which `topk` heeds."""


def make_codec(name: str, *, share: float = TOPK_SHARE) -> Codec:
    """Return a codec by its name.

    Args:
        name: One of `CODECS`.
        share: Of the numbers of each tensor, those that `topk` sends; above 0 and at most 1.

    Raises:
        ValueError: if there is no such codec, or no such share.
    """
    if name not in CODECS:
        raise ValueError(f"Expected a codec among {', '.join(CODECS)}, got {name!r}.")
    if not 0 < share <= 1:
        raise ValueError(f"Expected 0 < share <= 1, got share={share}. Use 0.1, for example.")
    return Codec(name, CODECS[name](share))
