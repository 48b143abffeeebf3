"""What is planted in a representation is found where it is, for people seen and unseen."""

import json

import numpy as np
import numpy.typing as npt
import pytest

from discreet.leakage import (
    Finding,
    Representation,
    Truth,
    as_records,
    as_rows,
    count_steps,
    erase,
    fit_eraser,
    in_words,
    measure_leakage,
    one_hot,
)
from discreet.leakage.findings import every_other
from discreet.leakage.probes import Labels
from discreet.types import Split

Floats = npt.NDArray[np.float64]
SHOTS = 4
PERSONS: dict[Split, int] = {"train": 60, "test": 40}
WIDTH = 8


def truth_and_faces(seed: int = 0) -> tuple[dict[Split, Truth], dict[Split, Floats]]:
    """Return people with a random ethnicity and gender, and features that tell who it is."""
    draw, truth, faces = np.random.default_rng(seed), {}, {}
    for split, persons in PERSONS.items():
        people = np.array([f"{split}-{n}" for n in np.repeat(np.arange(persons), SHOTS)])
        one = np.repeat(np.arange(persons), SHOTS)
        truth[split] = Truth(
            labels={
                "ethnicity": draw.choice(["a", "b", "c"], size=persons)[one],
                "gender_presentation": draw.choice(["f", "m"], size=persons)[one],
                "skin_tone": np.full(len(one), "3"),
                "age_band": draw.choice(["child", "older_adult"], size=persons)[one],
                "expression": draw.choice(["happy", "sad"], size=len(one)),
            },
            people=people,
        )
        own = draw.normal(size=(persons, WIDTH))
        faces[split] = 4 * own[one] + draw.normal(size=(len(one), WIDTH))
    return truth, faces


TRUTH, FACES = truth_and_faces()


def showing(label: str | None) -> Representation:
    """Return noise, in which one label moves a row to one side if there is one."""

    def features(split: Split) -> Floats:
        draw = np.random.default_rng(1 + len(split))
        x = draw.normal(size=(len(TRUTH[split].people), WIDTH))
        if label is not None:
            values = TRUTH[split].labels[label]
            x[:, 0] += 8 * np.unique(values, return_inverse=True)[1]
        return x

    return Representation(features=features)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str, str], Finding]:
    shown = {
        "ethnicity": showing("ethnicity"),
        "nothing": showing(None),
        "faces": Representation(features=lambda split: FACES[split]),
    }
    findings = measure_leakage(shown, TRUTH)
    return {(f.representation, f.label, f.people): f for f in findings}


def test_a_label_is_found_where_it_is_planted_and_nowhere_else(
    found: dict[tuple[str, str, str], Finding],
) -> None:
    best = found["ethnicity", "ethnicity", "unseen"].best
    assert best.accuracy > 0.95
    assert best.is_above_chance
    assert (best.pictures, best.people) == (160, 40)
    others = [f for key, f in found.items() if key[0] == "ethnicity" and key[1] == "expression"]
    assert len(others) == 2
    assert all(f.best.accuracy < f.best.chance + 0.15 for f in others)


def test_nothing_is_found_where_nothing_is(found: dict[tuple[str, str, str], Finding]) -> None:
    """27 attacks on noise, each above chance in 1 of 40 cases: 4 or more have chance 0.005."""
    attacks = [a for key, f in found.items() if key[0] == "nothing" for a in f.attacks]
    assert len(attacks) == 27  # four labels twice and identity, three probes each
    assert sum(attack.is_above_chance for attack in attacks) < 4


def test_known_people_are_told_by_their_faces_and_unseen_people_are_not(
    found: dict[tuple[str, str, str], Finding],
) -> None:
    """Who is known tells what kind of person it is, although no feature does."""
    assert found["faces", "identity", "known"].best.accuracy > 0.9
    assert found["faces", "ethnicity", "known"].best.accuracy > 0.9
    unseen = found["faces", "ethnicity", "unseen"].best
    assert unseen.accuracy < unseen.chance + 0.2
    assert found["faces", "identity", "known"].best.classes == 40
    assert ("faces", "identity", "unseen") not in found


def test_a_label_with_one_value_is_left_out(found: dict[tuple[str, str, str], Finding]) -> None:
    assert not any(label == "skin_tone" for _, label, _ in found)


def test_the_best_attack_counts(found: dict[tuple[str, str, str], Finding]) -> None:
    for finding in found.values():
        assert finding.best.accuracy == max(attack.accuracy for attack in finding.attacks)


def test_erasing_takes_a_direction_away_and_is_asked_by_fresh_people() -> None:
    erased = erase(showing("ethnicity"), TRUTH["train"], labels=("ethnicity",), shrinkage=0.0)
    finding = measure_leakage({"erased": erased}, TRUTH, labels=("ethnicity",))[0]
    assert [attack.probe for attack in finding.attacks] == [
        "linear", "mlp", "knn", "linear, other people", "mlp, other people", "knn, other people",
    ]  # fmt: skip
    linear = [a for a in finding.attacks if a.probe.startswith("linear")]
    assert all(attack.accuracy < attack.chance + 0.15 for attack in linear)


def test_an_eraser_fitted_to_the_taught_people_looks_safe_and_is_not() -> None:
    """With more features than pictures everything can be erased from those that one has."""
    draw, truth, wide = np.random.default_rng(0), {}, {}
    sizes: dict[Split, int] = {"train": 220, "test": 60}
    for split, persons in sizes.items():
        feminine = draw.random(persons) < 0.5
        feminine[:20] = np.arange(20) < 12
        one = np.repeat(np.arange(persons), SHOTS)
        labels = {"gender_presentation": np.where(feminine, "f", "m")[one]}
        truth[split] = Truth(labels=labels, people=np.array([f"{split}-{n}" for n in one]))
        wide[split] = draw.normal(size=(len(one), 400)) + 0.2 * feminine[one][:, None]
    few = np.array([f"train-{n}" for n in range(20)])
    inside = np.isin(truth["train"].people, few)
    eraser = fit_eraser(wide["train"][inside], one_hot(_genders(truth["train"])[inside].tolist()))
    erased = {split: eraser(x) for split, x in wide.items()}

    shown = Representation(features=lambda split: erased[split], fitted_to=few)
    (finding, _) = measure_leakage({"x": shown}, truth, labels=("gender_presentation",))
    assert finding.best.accuracy > 0.7
    assert finding.best.is_above_chance
    assert "linear, other people" in {attack.probe for attack in finding.attacks}

    taught = Truth(
        labels={"gender_presentation": _genders(truth["train"])[inside]},
        people=truth["train"].people[inside],
    )
    same = {"train": erased["train"][inside], "test": erased["test"]}
    fooled = Representation(features=lambda split: same[split])
    (finding, _) = measure_leakage(
        {"x": fooled}, {"train": taught, "test": truth["test"]}, labels=("gender_presentation",)
    )
    assert finding.attacks[0].probe == "linear"
    assert finding.attacks[0].accuracy < 0.6


def _genders(truth: Truth) -> Labels:
    return truth.labels["gender_presentation"]


def test_every_other_picture_of_each_person() -> None:
    assert every_other(np.array(["a", "a", "b", "a", "b", "c"])).tolist() == [
        True, False, True, True, False, True,
    ]  # fmt: skip


def test_findings_are_a_sentence_a_table_and_json(
    found: dict[tuple[str, str, str], Finding],
) -> None:
    own = [f for f in found.values() if f.representation == "ethnicity"]
    words = in_words(own)
    assert words.startswith("From ethnicity, the best of 3 probes reads ethnicity in ")
    assert "people it has not seen; guessing gives 0." in words
    rows = as_rows(own).splitlines()
    assert len(rows) == 2 + len(own)
    assert len({row.count("|") for row in rows}) == 1
    assert "**" in rows[2]
    records = json.loads(json.dumps(as_records(own)))
    assert records[0]["best"] in {attack["probe"] for attack in records[0]["attacks"]}
    assert "test-1" not in json.dumps(records)


def test_progress_is_told_as_often_as_it_says() -> None:
    told: list[str] = []
    measure_leakage({"a": showing(None)}, TRUTH, labels=("ethnicity",), on_done=told.append)
    assert len(told) == count_steps(1, 1)


def test_what_does_not_fit_together_is_refused() -> None:
    short = Representation(features=lambda split: FACES[split][:-1])
    with pytest.raises(ValueError, match="160 rows"):
        measure_leakage({"short": short}, TRUTH)
    with pytest.raises(ValueError, match="Expected labels among"):
        measure_leakage({"a": showing(None)}, TRUTH, labels=("shoe_size",))
