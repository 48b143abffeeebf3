"""Heads give probabilities, speak when they are sure, and look only for what they are asked."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Image
from safetensors.torch import load_file, save_file

from discreet.errors import ArtifactCorrupt
from discreet.model import image_processor, load_tower, vision_tokens
from discreet.perception import CLASSES, PERCEIVER_PATH, Head, Perceiver, head_features

FEATURES = 1280 + 16 * 448
numbers = st.floats(-20, 20, width=32)


def head_of(bias: list[float], temperature: float = 1.0, threshold: float = 0.0) -> Head:
    """A head that says the same of every picture: softmax(bias / temperature)."""
    return Head(
        weight=torch.zeros(len(bias), FEATURES),
        bias=torch.tensor(bias),
        temperature=temperature,
        threshold=threshold,
    )


@pytest.fixture(scope="module")
def perceiver() -> Perceiver:
    """The real tower; it says `older_adult` with 0.7 and `sad` with 0.6."""
    heads = {
        "age_band": head_of([math.log(p) for p in (0.1, 0.1, 0.1, 0.7)]),
        "expression": head_of([math.log(p) for p in (0.1, 0.1, 0.6, 0.1, 0.1)]),
    }
    return Perceiver(load_tower(), image_processor(), heads)  # type: ignore[arg-type]


@given(
    features=st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=4),
    weight=st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=2, max_size=5),
    temperature=st.floats(0.1, 10),
)
def test_probabilities_are_the_softmax_of_scaled_logits(
    features: list[list[float]], weight: list[list[float]], temperature: float
) -> None:
    head = Head(
        weight=torch.tensor(weight, dtype=torch.float64),
        bias=torch.arange(len(weight), dtype=torch.float64),
        temperature=temperature,
        threshold=0.0,
    )
    found = head.probabilities(torch.tensor(features, dtype=torch.float64)).numpy()
    for row, probabilities in zip(features, found, strict=True):
        logits = [float(np.dot(w, row)) + place for place, w in enumerate(weight)]
        scaled = [(logit - max(logits)) / temperature for logit in logits]
        total = sum(math.exp(value) for value in scaled)
        expected = [math.exp(value) / total for value in scaled]
        assert np.allclose(probabilities, expected, atol=1e-9)
        assert math.isclose(probabilities.sum(), 1, abs_tol=1e-9)


@given(
    bias=st.lists(numbers, min_size=2, max_size=5, unique=True),
    cool=st.floats(0.2, 5),
    warmth=st.floats(1.1, 10),
)
def test_a_higher_temperature_doubts_more_and_decides_the_same(
    bias: list[float], cool: float, warmth: float
) -> None:
    features = torch.zeros(1, FEATURES)
    (sure,) = head_of(bias, cool).probabilities(features)
    (unsure,) = head_of(bias, cool * warmth).probabilities(features)
    assert unsure.max() <= sure.max() + 1e-6
    assert unsure[int(np.argmax(bias))] == unsure.max()


def test_features_are_the_mean_of_the_last_layer_and_the_strokes_in_place() -> None:
    tokens = torch.randn(2, 16, 3008, generator=torch.Generator().manual_seed(0))
    found = head_features(tokens)
    assert found.shape == (2, FEATURES)
    for row in range(2):
        mean = sum(tokens[row, t, :1280] for t in range(16)) / 16
        strokes = torch.cat([tokens[row, t, 1280:1728] for t in range(16)])
        torch.testing.assert_close(found[row], torch.cat([mean, strokes]))


def test_it_says_the_likeliest_value_with_its_probability(
    perceiver: Perceiver, faces: list[Image]
) -> None:
    age, face = perceiver.observe(faces[0])
    assert (age.attribute, age.value, age.source) == ("age_band", "older_adult", "estimated")
    assert (face.attribute, face.value, face.source) == ("expression", "sad", "estimated")
    assert math.isclose(age.confidence, 0.7, abs_tol=1e-6)
    assert math.isclose(face.confidence, 0.6, abs_tol=1e-6)


def test_real_heads_read_the_picture(perceiver: Perceiver, faces: list[Image]) -> None:
    """Two routes: the perceiver, and the tower with a matrix product of our own."""
    weight = torch.randn(4, FEATURES, generator=torch.Generator().manual_seed(0))
    head = Head(weight=weight, bias=torch.zeros(4), temperature=30.0, threshold=0.0)
    mine = Perceiver(perceiver.tower, perceiver.processor, {"age_band": head})
    confidences = set()
    for face in faces[:3]:
        (seen,) = mine.observe(face)
        logits = weight @ head_features(vision_tokens(mine.tower, mine.processor, [face]))[0]
        expected = torch.softmax(logits / 30, 0)
        assert seen.value == CLASSES["age_band"][int(expected.argmax())]
        assert math.isclose(seen.confidence, float(expected.max()), abs_tol=1e-5)
        confidences.add(round(seen.confidence, 6))
    assert len(confidences) == 3


@pytest.mark.parametrize(
    ("threshold", "speaks"), [(0.0, True), (0.69, True), (0.71, False), (1.0, False)]
)
def test_it_is_silent_below_its_threshold(
    perceiver: Perceiver, faces: list[Image], threshold: float, speaks: bool
) -> None:
    age = perceiver.heads["age_band"]
    careful = Head(weight=age.weight, bias=age.bias, temperature=1.0, threshold=threshold)
    mine = Perceiver(perceiver.tower, perceiver.processor, {"age_band": careful})
    assert bool(mine.observe(faces[0])) == speaks


def test_it_is_silent_when_its_numbers_are_none(perceiver: Perceiver, faces: list[Image]) -> None:
    broken = head_of([math.nan, 0.0, 0.0, 0.0])
    mine = Perceiver(perceiver.tower, perceiver.processor, {"age_band": broken})
    assert mine.observe(faces[0]) == []


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (["age_band"], ["age_band"]),
        (["expression"], ["expression"]),
        (["expression", "age_band"], ["age_band", "expression"]),
        ([], []),
        (["race", "identity"], []),
    ],
)
def test_only_what_is_wanted_is_looked_for(
    perceiver: Perceiver, faces: list[Image], wanted: list[str], seen: list[str]
) -> None:
    looks: list[int] = []
    hook = perceiver.tower.register_forward_hook(lambda *_: looks.append(1))
    try:
        assert [o.attribute for o in perceiver.observe(faces[0], wanted)] == seen
    finally:
        hook.remove()
    assert bool(looks) == bool(seen), "the picture is not read for nothing"


def write(path: Path) -> Path:
    """Write heads as `discreet recipe perceive` does."""
    draw = torch.Generator().manual_seed(0)
    tensors, scales = {}, {}
    for name, classes in CLASSES.items():
        weight = torch.randn(len(classes), FEATURES, generator=draw)
        tensors[f"{name}.weight"] = weight.half()
        tensors[f"{name}.bias"] = torch.randn(len(classes), generator=draw)
        scales[name] = {"temperature": 1.5, "threshold": 0.4}
    save_file(tensors, path)
    path.with_suffix(".json").write_text(json.dumps({"heads": scales}))
    return path


def test_heads_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = write(tmp_path / "heads.safetensors")
    tensors = load_file(path)
    for name, head in Perceiver.load(path).heads.items():
        assert torch.equal(head.weight, tensors[f"{name}.weight"].float())
        assert torch.equal(head.bias, tensors[f"{name}.bias"])
        assert (head.temperature, head.threshold) == (1.5, 0.4)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "noise"])
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str, harm: str) -> None:
    path = write(tmp_path / "heads.safetensors")
    target = path.with_suffix(suffix)
    whole = target.read_bytes()
    if harm == "missing":
        target.unlink()
    else:
        harms = {"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\xff" * 64}
        target.write_bytes(harms[harm])
    with pytest.raises(ArtifactCorrupt, match="perceiver's heads"):
        Perceiver.load(path)


def nan_weight(name: str) -> torch.Tensor:
    return torch.full((len(CLASSES["age_band"]), FEATURES), math.nan)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("age_band.weight", None),
        ("expression.bias", None),
        ("age_band.weight", lambda name: torch.zeros(5, FEATURES)),
        ("age_band.weight", lambda name: torch.zeros(4, FEATURES - 1)),
        ("expression.bias", lambda name: torch.zeros(4)),
        ("age_band.weight", nan_weight),
    ],
)
def test_heads_of_another_shape_are_refused(
    tmp_path: Path, name: str, make: Callable[[str], torch.Tensor] | None
) -> None:
    path = write(tmp_path / "heads.safetensors")
    tensors = load_file(path)
    del tensors[name]
    if make is not None:
        tensors[name] = make(name)
    save_file(tensors, path)
    with pytest.raises(ArtifactCorrupt):
        Perceiver.load(path)


@pytest.mark.parametrize(
    "scale",
    [
        {"temperature": 1.0},
        {"temperature": 0.0, "threshold": 0.4},
        {"temperature": -1.0, "threshold": 0.4},
        {"temperature": 1.0, "threshold": 1.5},
        {"temperature": math.nan, "threshold": 0.4},
        {"temperature": 1.0, "threshold": math.nan},
        {"temperature": "warm", "threshold": 0.4},
        None,
        [1.0, 0.4],
    ],
)
def test_a_scale_that_cannot_be_right_is_refused(tmp_path: Path, scale: object) -> None:
    path = write(tmp_path / "heads.safetensors")
    good = {"temperature": 1.0, "threshold": 0.4}
    record = {"heads": {"age_band": scale, "expression": good}}
    path.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(ArtifactCorrupt):
        Perceiver.load(path)


def test_the_shipped_heads_know_age_bands_and_expressions_only() -> None:
    names = {name.partition(".")[0] for name in load_file(PERCEIVER_PATH)}
    assert names == set(CLASSES) == {"age_band", "expression"}
    for head in Perceiver.load().heads.values():
        assert 1 / head.bias.numel() < head.threshold < 1, "it is silent rather than guess"
