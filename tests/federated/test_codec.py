"""What a codec writes has the form it promised, and comes back within the error it stated."""

import doctest
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from discreet.federated import codec as codec_file
from discreet.federated.codec import CODECS, Codec, encode_with_feedback, make_codec
from discreet.federated.messages import BadMessage, State, shapes_of
from discreet.privacy import CounterGenerator

MAX = float(torch.finfo(torch.float32).max)
TINY = 2.0**-149
"""The smallest float32 above zero."""
AWKWARD = [0.0, -0.0, TINY, -3 * TINY, 2.0**-126, 1e-30, -1.0, 65504.0]
MAGNITUDES = st.floats(-60000, 60000, width=32, allow_subnormal=True) | st.sampled_from(AWKWARD)
TENSORS = arrays_of.arrays(
    np.float32,
    arrays_of.array_shapes(min_dims=0, max_dims=3, max_side=5) | st.just((0, 3)),
    elements=MAGNITUDES,
)


def coins(text: str = "coins of a test") -> CounterGenerator:
    return CounterGenerator.seeded(text)


def there_and_back(codec: Codec, state: State) -> State:
    return codec.decode(codec.encode(state, coins()), shapes_of(state))


def error_bounds(name: str, values: torch.Tensor) -> torch.Tensor:
    """What the table in the file promises, in float64."""
    size = values.double().abs()
    if name == "bfloat16":
        return (size * 2**-8).clamp(min=2.0**-134)
    if name == "float16":
        return (size * 2**-11).clamp(min=2.0**-25)
    if name == "int8":
        step = float(size.max()) / 127 if values.numel() else 0.0
        return torch.full_like(size, step * (1 + 2**-16) + TINY)
    return torch.zeros_like(size)


@settings(max_examples=150, deadline=None)
@given(TENSORS)
@pytest.mark.parametrize("name", [name for name in CODECS if name != "topk"])
def test_numbers_come_back_within_the_stated_error(name: str, values: np.ndarray) -> None:
    tensor = torch.from_numpy(values)
    back = there_and_back(make_codec(name), {"w": tensor})["w"]
    assert back.shape == tensor.shape
    assert back.dtype == torch.float32
    assert bool(((back.double() - tensor.double()).abs() <= error_bounds(name, tensor)).all())


@settings(max_examples=100, deadline=None)
@given(TENSORS, st.floats(0.01, 1.0))
def test_of_topk_the_largest_come_back_and_the_rest_is_zero(
    values: np.ndarray, share: float
) -> None:
    tensor = torch.from_numpy(values)
    back = there_and_back(make_codec("topk", share=share), {"w": tensor})["w"].flatten()
    flat, kept = tensor.flatten(), math.ceil(share * values.size)
    by_size = sorted(flat.abs().tolist(), reverse=True)
    assert bool(((back == flat) | (back == 0)).all())
    assert sorted(back.abs().tolist(), reverse=True)[:kept] == by_size[:kept]
    assert int((back != 0).sum()) <= kept


@settings(max_examples=60, deadline=None)
@given(TENSORS, TENSORS)
@pytest.mark.parametrize("name", CODECS)
def test_arrays_are_exactly_those_that_were_specified(
    name: str, one: np.ndarray, other: np.ndarray
) -> None:
    codec = make_codec(name)
    state = {"layer.a": torch.from_numpy(one), "layer.b": torch.from_numpy(other)}
    arrays = codec.encode(state, coins())
    assert {n: (a.dtype.str, a.shape) for n, a in arrays.items()} == codec.specs(shapes_of(state))
    assert list(arrays) == list(codec.specs(shapes_of(state)))


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("scale", [0.0, TINY, 2.0**-126, 1e-20, 1.0, 2.0**126])
def test_scales_from_nothing_to_huge_keep_their_relative_error(name: str, scale: float) -> None:
    """Codecs of a narrower range than the number say so instead of writing something else."""
    codec = make_codec(name, share=1.0)
    tensor = torch.tensor([1.0, -0.5, 0.0, 0.25]) * scale
    if scale > codec.form.largest:
        with pytest.raises(ValueError, match="plan with wire"):
            codec.encode({"w": tensor}, coins())
        return
    back = there_and_back(codec, {"w": tensor})["w"]
    assert bool(((back.double() - tensor.double()).abs() <= error_bounds(name, tensor)).all())


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_written(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        make_codec(name).encode({"w": torch.tensor([0.0, wrong])}, coins())


@pytest.mark.parametrize(
    ("name", "largest"),
    [("float32", MAX), ("topk", MAX), ("float16", 65504.0), ("int8", 2.0**127)],
)
def test_the_largest_number_that_can_be_written_comes_back(name: str, largest: float) -> None:
    codec = make_codec(name)
    assert codec.form.largest == largest
    back = there_and_back(codec, {"w": torch.tensor([-largest])})["w"]
    assert back.item() == pytest.approx(-largest, rel=2**-6)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-127, 127), min_size=0, max_size=8),
    st.integers(2**16, 2**17 - 1),
    st.integers(-149, 100),
)
def test_int8_gives_what_is_on_its_grid_back_bit_by_bit(
    multiples: list[int], significand: int, exponent: int
) -> None:
    step = math.ldexp(significand, exponent)
    tensor = torch.tensor([*multiples, 127], dtype=torch.float64) * step
    assert torch.equal(tensor.float().double(), tensor), "each multiple is a float32"
    assert torch.equal(
        there_and_back(make_codec("int8"), {"w": tensor.float()})["w"].double(), tensor
    )


@settings(max_examples=100, deadline=None)
@given(TENSORS)
def test_what_int8_gives_back_is_on_its_grid_without_rounding(values: np.ndarray) -> None:
    """Products of a multiple and the step are float32s: else decoding would add a bias."""
    codec = make_codec("int8")
    arrays = codec.encode({"w": torch.from_numpy(values)}, coins())
    back = codec.decode(arrays, {"w": values.shape})["w"]
    exact = arrays["w"].astype(np.float64) * float(arrays["w/scale"])
    assert np.array_equal(back.double().numpy(), exact)


def test_int8_is_right_on_average() -> None:
    """Hoeffding: each of 64 means of 4,000 roundings strays by 0.062 steps once in 1e11 runs."""
    times = 4000
    values = torch.linspace(-1.0, 1.0, 64)
    state = {"w": values.repeat(times, 1)}
    back = there_and_back(make_codec("int8"), state)["w"].double()
    step = 1 / 127
    far = math.sqrt(math.log(2 * 64 / 1e-11) / (2 * times))
    assert float((back.mean(0) - values.double()).abs().max()) < far * step * 1.001
    assert float((values / step - (values / step).round()).abs().max()) > far, "nearest would fail"


def test_int8_rounds_each_number_on_a_coin_of_its_own() -> None:
    """Two numbers halfway go four ways; each is missed by 400 pairs with chance 0.75**400."""
    tensor = torch.cat([torch.full((800,), 0.5), torch.tensor([127.0])])
    back = there_and_back(make_codec("int8"), {"w": tensor})["w"][:800].view(400, 2)
    assert {tuple(pair) for pair in back.tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_int8_needs_coins_and_the_others_draw_none() -> None:
    for name in CODECS:
        used, fresh = coins(), coins()
        make_codec(name).encode({"w": torch.ones(3)}, used)
        assert torch.equal(used.uniform(1), fresh.uniform(1)) == (name != "int8")


def test_a_state_comes_back_with_its_own_memory() -> None:
    state = {"w": torch.ones(4)}
    arrays = make_codec("float32").encode(state, coins())
    back = make_codec("float32").decode(arrays, shapes_of(state))
    state["w"].zero_()
    assert arrays["w"].tolist() == [1.0] * 4
    arrays["w"][:] = 2.0
    assert back["w"].tolist() == [1.0] * 4


@pytest.mark.parametrize("name", CODECS)
def test_arrays_of_a_message_that_cannot_be_written_to_are_read(name: str) -> None:
    state = {"w": torch.tensor([[1.0, -2.0], [0.0, 4.0]])}
    codec = make_codec(name, share=1.0)
    sent = codec.encode(state, coins())
    frozen = {n: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for n, a in sent.items()}
    assert torch.equal(
        codec.decode(frozen, shapes_of(state))["w"], codec.decode(sent, shapes_of(state))["w"]
    )


def test_places_take_two_bytes_where_they_fit() -> None:
    codec = make_codec("topk", share=0.5)
    assert codec.specs({"w": (256, 256)})["w/index"] == ("<u2", (2**15,))
    assert codec.specs({"w": (256, 257)})["w/index"] == ("<u4", (128 * 257,))
    last = torch.zeros(2**16)
    last[-1] = 1.0
    assert there_and_back(make_codec("topk", share=2**-16), {"w": last})["w"][-1] == 1.0


WRONG = {
    "a missing array": ("int8", {"w/scale": None}),
    "an unknown array": ("float32", {"v": np.zeros(4, "<f4")}),
    "another type": ("float32", {"w": np.zeros(4, "<f8")}),
    "another byte order": ("float32", {"w": np.zeros(4, ">f4")}),
    "another shape": ("float32", {"w": np.zeros((4, 1), "<f4")}),
    "NaN": ("float32", {"w": np.array([0, 1, 2, math.nan], "<f4")}),
    "infinity in half precision": ("float16", {"w": np.array([0, 1, 2, math.inf], "<f2")}),
    "NaN in bits": ("bfloat16", {"w": np.full(4, 0x7FC0, "<u2")}),
    "a multiple beyond the grid": ("int8", {"w": np.array([0, 0, 0, -128], "|i1")}),
    "a scale of NaN": ("int8", {"w/scale": np.array(math.nan, "<f4")}),
    "an infinite scale": ("int8", {"w/scale": np.array(math.inf, "<f4")}),
    "a negative scale": ("int8", {"w/scale": np.array(-1.0, "<f4")}),
    "a scale that leads to infinity": ("int8", {"w/scale": np.array(MAX, "<f4")}),
    "a place outside": ("topk", {"w/index": np.array([0, 4], "<u2")}),
    "a place twice": ("topk", {"w/index": np.array([1, 1], "<u2")}),
    "places out of order": ("topk", {"w/index": np.array([2, 1], "<u2")}),
    "an infinite value": ("topk", {"w/value": np.array([math.inf, 0], "<f4")}),
}


@pytest.mark.parametrize(("name", "changes"), WRONG.values(), ids=WRONG.keys())
def test_nonsense_is_refused(name: str, changes: dict[str, np.ndarray | None]) -> None:
    codec = make_codec(name, share=0.5)
    state = {"w": torch.tensor([1.0, -2.0, 3.0, 4.0])}
    arrays = codec.encode(state, coins())
    codec.decode(arrays, shapes_of(state))
    changed = {n: a for n, a in {**arrays, **changes}.items() if a is not None}
    with pytest.raises(BadMessage, match=r"Expected .*got"):
        codec.decode(changed, shapes_of(state))


@pytest.mark.parametrize("name", CODECS)
def test_an_array_that_claims_a_petabyte_takes_no_memory(name: str) -> None:
    """Its header is looked at, and none of what it says is ever made."""
    codec = make_codec(name, share=0.5)
    for array, (dtype, _) in codec.specs({"w": (4,)}).items():
        arrays = dict(codec.encode({"w": torch.ones(4)}, coins()))
        arrays[array] = np.broadcast_to(np.zeros((), dtype), (2**50 // np.dtype(dtype).itemsize,))
        with pytest.raises(BadMessage, match="of shape"):
            codec.decode(arrays, {"w": (4,)})


def test_names_that_would_hide_another_array_are_refused() -> None:
    with pytest.raises(ValueError, match="of different names"):
        make_codec("int8").specs({"w": (2,), "w/scale": ()})


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="0 < share <= 1"):
        make_codec("topk", share=share)


def test_an_unknown_codec_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="float32, bfloat16, float16, int8, topk, got 'int4'"):
        make_codec("int4")


def exact_sum(states: list[State]) -> list[Fraction]:
    parts = [torch.cat([v.flatten() for v in state.values()]).tolist() for state in states]
    return [sum(map(Fraction, column), Fraction(0)) for column in zip(*parts, strict=True)]


@pytest.mark.parametrize("name", CODECS)
def test_what_was_sent_and_what_is_owed_together_are_all_updates(name: str) -> None:
    """The telescoping identity, in fractions: sums of numbers on a coarse grid have no rounding."""
    codec = make_codec(name, share=0.25)
    chance = torch.Generator().manual_seed(0)
    residual: State = {}
    sent: list[State] = []
    updates: list[State] = []
    for server_round in range(40):
        whole = torch.randint(-9, 10, (3, 4), generator=chance)
        updates.append({"w": whole * 2.0**-4, "v": whole[0] * 2.0**-6})
        codec_arrays, residual = encode_with_feedback(
            codec, updates[-1], residual, coins(f"round {server_round}")
        )
        sent.append(codec.decode(codec_arrays, shapes_of(updates[-1])))
    together = exact_sum([*sent, residual])
    if name in ("float32", "topk"):
        assert together == exact_sum(updates)
    else:
        for one, other in zip(together, exact_sum(updates), strict=True):
            assert abs(one - other) < Fraction(1, 2**16)
    owed = max(float(value.abs().max()) for value in residual.values())
    assert (owed == 0) == (name in ("float32", "bfloat16", "float16"))


def test_with_feedback_the_mean_of_what_was_sent_becomes_that_of_the_updates() -> None:
    """Without it, topk would send the same quarter for ever; what is owed stays bounded."""
    codec = make_codec("topk", share=0.25)
    update = {"w": torch.tensor([1.0, 0.5, 0.25, 0.125])}
    for rounds in (8, 128):
        residual: State = {}
        total = torch.zeros(4)
        for _ in range(rounds):
            arrays, residual = encode_with_feedback(codec, update, residual, coins())
            total += codec.decode(arrays, shapes_of(update))["w"]
        assert float(residual["w"].abs().max()) < 4
        assert float((total / rounds - update["w"]).abs().max()) < 4 / rounds


def test_what_does_not_learn_in_a_round_stays_owed() -> None:
    codec = make_codec("topk", share=0.5)
    before = {"a": torch.tensor([3.0]), "b": torch.tensor([1.0, 0.5])}
    _, after = encode_with_feedback(codec, {"b": torch.tensor([0.0, 0.25])}, before, coins())
    assert after["a"].tolist() == [3.0]
    assert after["b"].tolist() == [0.0, 0.75]
    assert before["b"].tolist() == [1.0, 0.5]


def test_the_examples_in_the_docstring_run() -> None:
    outcome = doctest.testmod(codec_file)
    assert outcome.attempted > 0
    assert outcome.failed == 0
