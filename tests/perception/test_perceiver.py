"""Heads give probabilities, speak when they are sure, and look only for what they are asked."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Image, fromarray
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_images

from discreet.data import load_portraits
from discreet.errors import ArtifactCorrupt
from discreet.model import image_processor, load_tower, picture_views
from discreet.perception import (
    CLASSES,
    HEADS,
    PERCEIVER_PATH,
    Head,
    HeadName,
    Perceiver,
)
from discreet.types import FACES, Percept

FEATURES = 1280 + 16 * 448
numbers = st.floats(-20, 20, width=32)


def head_of(bias: list[float], temperature: float = 1.0, threshold: float = 0.0) -> Head:
    """A head that says the same of every picture: softmax(bias / temperature)."""
    return Head(
        weight=torch.zeros(len(bias), FEATURES),
        bias=torch.tensor(bias),
        temperature=temperature,
        thresholds=(threshold,) * len(bias),
    )


def sure_of(value: int, classes: int, confidence: float = 0.9) -> Head:
    """A head that says one class of every picture."""
    rest = (1 - confidence) / (classes - 1)
    return head_of([math.log(confidence if n == value else rest) for n in range(classes)])


@pytest.fixture(scope="module")
def perceiver() -> Perceiver:
    """The real tower; it says one face, `older_adult` with 0.7 and `sad` with 0.6."""
    heads: dict[HeadName, Head] = {
        "age_band": head_of([math.log(p) for p in (0.1, 0.1, 0.1, 0.7)]),
        "expression": head_of([math.log(p) for p in (0.1, 0.1, 0.6, 0.1, 0.1)]),
        "face_present": sure_of(1, 2),
        "faces": sure_of(1, 4, 0.8),
    }
    return Perceiver(load_tower(), image_processor(), heads)


def with_heads(perceiver: Perceiver, **heads: Head) -> Perceiver:
    """The same perceiver with other heads."""
    changed = {**perceiver.heads, **heads}
    return Perceiver(perceiver.tower, perceiver.processor, changed)  # type: ignore[arg-type]


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
        thresholds=(0.0,) * len(weight),
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
    head = Head(weight=weight, bias=torch.zeros(4), temperature=30.0, thresholds=(0.0,) * 4)
    mine = with_heads(perceiver, age_band=head)
    confidences = set()
    for face in faces[:3]:
        (seen,) = mine.observe(face, ["age_band"])
        logits = weight @ picture_views(mine.tower, mine.processor, [face])[0]
        expected = torch.softmax(logits / 30, 0)
        assert seen.value == CLASSES["age_band"][int(expected.argmax())]
        assert math.isclose(seen.confidence, float(expected.max()), abs_tol=1e-5)
        confidences.add(round(seen.confidence, 6))
    assert len(confidences) == 3


@pytest.mark.parametrize(
    ("threshold", "speaks"), [(0.0, True), (0.69, True), (0.71, False), (1.0, False)]
)
@pytest.mark.parametrize("said", [True, False])
def test_it_is_silent_below_the_threshold_of_what_it_would_say(
    perceiver: Perceiver, faces: list[Image], threshold: float, speaks: bool, said: bool
) -> None:
    """The thresholds of other classes do not matter."""
    thresholds = (0.0, 0.0, 0.0, threshold) if said else (threshold, threshold, threshold, 0.0)
    careful = replace(perceiver.heads["age_band"], thresholds=thresholds)
    seen = with_heads(perceiver, age_band=careful).observe(faces[0], ["age_band"])
    assert bool(seen) == (speaks or not said)


def test_never_is_never_also_of_what_is_certain(perceiver: Perceiver, faces: list[Image]) -> None:
    certain = head_of([0.0, 0.0, 0.0, 1e4], threshold=1.0)
    assert with_heads(perceiver, age_band=certain).observe(faces[0], ["age_band"]) == []


@pytest.mark.parametrize("name", list(HEADS))
def test_it_is_silent_when_its_numbers_are_none(
    perceiver: Perceiver, faces: list[Image], name: str
) -> None:
    broken = head_of([math.nan] + [0.0] * (len(HEADS[name]) - 1))  # type: ignore[index]
    percept = with_heads(perceiver, **{name: broken}).perceive(faces[0])
    said = {one.attribute for one in percept.observations}
    assert name not in said
    if name == "faces":
        assert (percept.faces, percept.observations) == (None, ())
    if name == "face_present":
        assert percept.present is None


@pytest.mark.parametrize("value", range(len(FACES)))
def test_of_a_picture_without_exactly_one_face_nobody_is_described(
    perceiver: Perceiver, faces: list[Image], value: int
) -> None:
    mine = with_heads(perceiver, faces=sure_of(value, len(FACES), 0.8))
    percept = mine.perceive(faces[0])
    assert percept.faces is not None
    assert percept.faces.value == FACES[value]
    assert percept.faces.confidence == pytest.approx(0.8)
    assert [o.attribute for o in percept.observations] == (list(CLASSES) if value == 1 else [])
    assert mine.observe(faces[0]) == list(percept.observations)


def test_of_a_picture_that_may_show_more_than_one_face_nobody_is_described(
    perceiver: Perceiver, faces: list[Image]
) -> None:
    unsure = replace(perceiver.heads["faces"], thresholds=(0.0, 0.85, 0.0, 0.0))
    percept = with_heads(perceiver, faces=unsure).perceive(faces[0])
    assert (percept.faces, percept.observations) == (None, ())
    assert percept.present is not None
    assert percept.present.value


def test_a_percept_of_several_people_describes_none_of_them(
    perceiver: Perceiver, faces: list[Image]
) -> None:
    single = perceiver.perceive(faces[0])
    with pytest.raises(ValueError, match="exactly one face"):
        Percept(present=single.present, faces=None, observations=single.observations)


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
    hook = perceiver.tower.net._conv_stem.register_forward_hook(lambda *_: looks.append(1))
    try:
        assert [o.attribute for o in perceiver.observe(faces[0], wanted)] == seen
    finally:
        hook.remove()
    assert bool(looks) == bool(seen), "the picture is not read for nothing"


def write(path: Path) -> Path:
    """Write heads as `discreet recipe perceive` does."""
    draw = torch.Generator().manual_seed(0)
    tensors, scales = {}, {}
    for name, classes in HEADS.items():
        weight = torch.randn(len(classes), FEATURES, generator=draw)
        tensors[f"{name}.weight"] = weight.half()
        tensors[f"{name}.bias"] = torch.randn(len(classes), generator=draw)
        scales[name] = {"temperature": 1.5, "thresholds": [0.4] * len(classes)}
    save_file(tensors, path)
    path.with_suffix(".json").write_text(json.dumps({"heads": scales}))
    return path


def test_heads_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = write(tmp_path / "heads.safetensors")
    tensors = load_file(path)
    for name, head in Perceiver.load(path).heads.items():
        assert torch.equal(head.weight, tensors[f"{name}.weight"].float())
        assert torch.equal(head.bias, tensors[f"{name}.bias"])
        assert (head.temperature, head.thresholds) == (1.5, (0.4,) * len(HEADS[name]))


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
        {"temperature": 0.0, "thresholds": [0.4] * 4},
        {"temperature": -1.0, "thresholds": [0.4] * 4},
        {"temperature": 1.0, "thresholds": [0.4, 0.4, 0.4, 1.5]},
        {"temperature": 1.0, "thresholds": [0.4] * 5},
        {"temperature": 1.0, "thresholds": 0.4},
        {"temperature": math.nan, "thresholds": [0.4] * 4},
        {"temperature": 1.0, "thresholds": [0.4, 0.4, 0.4, math.nan]},
        {"temperature": "warm", "thresholds": [0.4] * 4},
        None,
        [1.0, 0.4],
    ],
)
def test_a_scale_that_cannot_be_right_is_refused(tmp_path: Path, scale: object) -> None:
    path = write(tmp_path / "heads.safetensors")
    record = json.loads(path.with_suffix(".json").read_text())
    record["heads"]["age_band"] = scale
    path.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(ArtifactCorrupt):
        Perceiver.load(path)


def test_the_shipped_heads_know_faces_age_bands_and_expressions_only() -> None:
    names = {name.partition(".")[0] for name in load_file(PERCEIVER_PATH)}
    assert names == set(HEADS) == {"age_band", "expression", "face_present", "faces"}
    for head in Perceiver.load().heads.values():
        assert any(threshold < 1 for threshold in head.thresholds), "it may say something"


CARD = json.loads(PERCEIVER_PATH.with_suffix(".json").read_text())["heads"]
GROUPS = ("age_band", "gender_presentation", "ethnicity", "skin_tone")


@pytest.mark.parametrize("name", HEADS)
def test_the_shipped_card_keeps_its_promise_and_names_every_class(name: HeadName) -> None:
    assert CARD[name]["test"]["error_when_answering"] <= CARD[name]["promised_error"]
    assert set(CARD[name]["test_by_group"]["true_value"]) == set(HEADS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_the_groups_of_the_shipped_card_are_those_of_the_portraits_and_add_up(name: str) -> None:
    """Pictures and people are counted in the data; of shares of groups follows that of all."""
    portraits = load_portraits("test")
    people = {portrait.identity_id for portrait in portraits}
    assert CARD[name]["test"]["units"] == len(people)
    labels = {"true_value": name, **{group: group for group in GROUPS if group != name}}
    for group, label in labels.items():
        scores = CARD[name]["test_by_group"][group]
        values = [
            {**p.audit_labels, "age_band": p.age_band, name: getattr(p, name)}[label]
            for p in portraits
        ]
        of = Counter(values)
        assert set(scores) == set(of)
        answered = {value: of[value] * scores[value]["coverage"] for value in of}
        wrong = {value: answered[value] * scores[value]["error_when_answering"] for value in of}
        total = CARD[name]["test"]["coverage"] * len(portraits)
        assert sum(answered.values()) == pytest.approx(total)
        error = CARD[name]["test"]["error_when_answering"]
        assert sum(wrong.values()) == pytest.approx(total * error)
        for value in of:
            inside = {p.identity_id for p, v in zip(portraits, values, strict=True) if v == value}
            assert scores[value]["units"] == len(inside)


@pytest.mark.slow
def test_the_shipped_card_says_what_portraits_say_again() -> None:
    """Of 210 of the 2,100, with numpy alone behind the tower; four standard errors of slack."""
    tower, processor, tensors = load_tower(), image_processor(), load_file(PERCEIVER_PATH)
    portraits = load_portraits("test")[::10]
    views = torch.cat([picture_views(tower, processor, [p.image]) for p in portraits]).numpy()
    for name, classes in CLASSES.items():
        weight, bias = (tensors[f"{name}.{part}"].float().numpy() for part in ("weight", "bias"))
        logits = (views @ weight.T + bias) / CARD[name]["temperature"]
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        guess = chances.argmax(1)
        answered = chances.max(1) > np.array(CARD[name]["thresholds"])[guess]
        truth = np.array([classes.index(getattr(p, name)) for p in portraits])
        error = (guess != truth)[answered].mean()
        for found, key, of in (
            (answered.mean(), "coverage", len(portraits)),
            (error, "error_when_answering", answered.sum()),
        ):
            share = CARD[name]["test"][key]
            assert abs(found - share) <= 4 * math.sqrt(share * (1 - share) / of), (name, key)


@pytest.mark.xfail(reason="two of eight crops are taken for a face: docs/cards/small.md, limits")
def test_the_shipped_heads_see_no_face_in_photographs_of_a_temple_and_a_flower() -> None:
    """Real pictures that no training saw: crops of the two photographs of scikit-learn."""
    shipped, crops = Perceiver.load(), []
    for pixels in load_sample_images().images:
        whole = fromarray(pixels)
        crops += [whole.crop((x, 60, x + 320, 380)) for x in (0, 100, 200, 320)]
    counts = [percept.faces.value for crop in crops if (percept := shipped.perceive(crop)).faces]
    assert "one" not in counts, "no person would be described"
