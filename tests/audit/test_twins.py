"""Flips that were planted are found, and where there is none none is found."""

from collections.abc import Sequence
from io import BytesIO
from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from discreet.assistant import Assistant, Turn, gate_of, load_policy
from discreet.audit import (
    Compared,
    TwinFlips,
    as_flips,
    compare_twins,
    count_flips,
    differing_bits,
    is_warranted,
    lines_of,
    measure_twins,
    represent,
)
from discreet.cli.chat import notes_of
from discreet.data import TwinPortraits
from discreet.fairness import MIN_PEOPLE
from discreet.model import Vlm
from discreet.people import TWIN_KINDS
from discreet.types import FaceCount, FacePresence, Observation, Percept

PEOPLE = 40
HAIR, TONE, AGE, EXPRESSION = (
    TWIN_KINDS.index(k) for k in ("hair", "skin_tone", "age", "expression")
)
VALUES = {"age": ("older_adult", "child"), "expression": ("sad", "happy")}


def picture(kind: int, person: int, which: int) -> bytes:
    """A grey square whose levels say which kind of twins it is of, of whom and which of the two."""
    levels = (kind * 30, person * 5, which * 200)
    stream = BytesIO()
    Image.new("RGB", (32, 32), levels).save(stream, "JPEG", quality=100, subsampling=0)
    return stream.getvalue()


def read(image: Image.Image) -> tuple[int, int, int]:
    red, green, blue = image.getpixel((8, 8))  # type: ignore[misc]
    return round(red / 30), round(green / 5), int(blue > 100)


def twins_of(people: int = PEOPLE) -> list[TwinPortraits]:
    return [
        TwinPortraits(
            kind=kind,
            jpegs=(picture(place, person, 0), picture(place, person, 1)),
            values=VALUES.get(kind, ("a", "b")),
            identity_id=f"p{person}",
            audit_labels={
                "age_band": "older_adult",
                "expression": "sad",
                "ethnicity": ("asian", "african")[person % 2],
                "skin_tone": str(person % 4),
                "gender_presentation": "feminine",
            },
        )
        for person in range(people)
        for place, kind in enumerate(TWIN_KINDS)
    ]


PAIRS = twins_of()


class Planted:
    """Sees a sad older adult, and follows what is changed in twins of some kinds and people."""

    def __init__(self, kinds: Sequence[int] = (), every: int = 1) -> None:
        self.kinds, self.every = kinds, every

    def perceive(self, image: Image.Image, attributes: Sequence[str] = ()) -> Percept:
        kind, person, second = read(image)
        flips = second and kind in self.kinds and person % self.every == 0
        name = "expression" if kind == EXPRESSION else "age_band"
        seen = {"age_band": "older_adult", "expression": "sad"}
        if flips:
            seen[name] = VALUES["expression" if name == "expression" else "age"][1]
        return Percept(
            present=FacePresence(value=True, confidence=1.0),
            faces=FaceCount(value="one", confidence=1.0),
            observations=tuple(
                Observation(attribute=n, value=v, source="estimated", confidence=0.9)  # type: ignore[arg-type]
                for n, v in seen.items()
            ),
        )


WIDEST = {"healthcare": "comfort", "education": "explain"}


def through(context: str):  # type: ignore[no-untyped-def]
    return gate_of(load_policy(context), WIDEST[context])


def measured(perceiver: Planted, context: str = "healthcare") -> TwinFlips:
    percepts = represent(perceiver.perceive, PAIRS)
    seen = [(first.observations, second.observations) for first, second in percepts]
    return measure_twins(PAIRS, seen, through(context))


def test_a_perceiver_that_ignores_the_picture_flips_nothing_and_follows_nothing() -> None:
    found = measured(Planted())
    assert found.unwarranted.whole is not None
    assert (found.unwarranted.whole.value, found.unwarranted.whole.high) == (0, 0)
    assert found.unwarranted.whole.pairs == PEOPLE * 6
    assert found.warranted.whole is not None
    assert found.warranted.whole.value == 0
    assert found.followed.whole is not None
    assert found.followed.whole.value == 0
    assert not found.causes


def test_a_flip_that_was_planted_is_found_where_it_was_planted() -> None:
    found = measured(Planted([HAIR], every=2)).unwarranted
    assert found.worst_kind == "hair"
    shares = {kind: cell.value for kind, cell in found.by_kind.items() if cell is not None}
    assert shares == {**dict.fromkeys(shares, 0.0), "hair": 0.5}
    assert found.whole is not None
    assert found.whole.value == pytest.approx(0.5 / 6)
    assert found.whole.low < 0.5 / 6 < found.whole.high


def test_what_a_policy_lets_pass_is_warranted_there_and_nowhere_else() -> None:
    sees_all = Planted([AGE, EXPRESSION])
    healthcare, education = (measured(sees_all, c) for c in ("healthcare", "education"))
    assert set(healthcare.warranted.by_kind) == {"age", "expression"}
    assert set(education.warranted.by_kind) == {"age"}
    assert healthcare.followed.whole is not None
    assert healthcare.followed.whole.value == 1
    assert education.unwarranted.whole is not None
    assert education.unwarranted.whole.value == 0, "the gate keeps the expression back"
    assert is_warranted("expression", through("healthcare"))
    assert not is_warranted("skin_tone", through("healthcare"))


def test_causes_say_what_changed() -> None:
    found = measured(Planted([TONE]))
    share = pytest.approx(1 / 6)
    both = {"age_band is another": share, "expression passes of one only": share}
    assert found.causes == both, "of a child no expression passes"


def test_declared_values_decide_and_the_picture_has_no_way_in() -> None:
    """The worst perceiver there is, by the gate; and by an assistant that would have to look."""
    everything = Planted(range(len(TWIN_KINDS)))
    for context in ("healthcare", "education"):
        found = measured(everything, context)
        assert found.unwarranted.whole is not None
        assert found.unwarranted.whole.value > 0.8
        assert found.declared.whole is not None
        assert found.declared.whole.high == 0


class Sighted:
    def perceive(self, image: Image.Image, attributes: Sequence[str]) -> Percept:
        raise AssertionError("nobody may look")


@pytest.mark.parametrize("context", ["healthcare", "education"])
def test_an_assistant_does_not_look_where_everything_is_declared(tiny: Vlm, context: str) -> None:
    policy = load_policy(context)
    notes = notes_of(policy, "words")
    assistant = Assistant(vlm=tiny, policy=policy, notes=notes, perceiver=Sighted())
    declared = {"age_band": "child", "expression": "sad"}
    for image in PAIRS[0].images:
        assistant.reply(
            Turn(
                question="Why rest?",
                image=image,
                declared=declared,
                purpose=WIDEST[context],
                consented=frozenset(policy.consentable(WIDEST[context])),
            )
        )


def test_groups_are_told_of_where_enough_people_are_in_them() -> None:
    """People of even numbers flip; 20 of each ethnicity are too few, 40 of a gender are not."""
    found = measured(Planted([HAIR], every=2)).unwarranted
    assert found.by_group["ethnicity"] == {"african": None, "asian": None}
    assert set(found.by_group["skin_tone"].values()) == {None}
    assert found.by_group["gender_presentation"]["feminine"] is not None
    assert found.worst_group in {"gender_presentation: feminine", "age_band: older_adult"}


def test_the_worst_group_is_the_one_that_flips_most() -> None:
    rows = [
        Compared(
            kind="hair",
            person=f"p{n}",
            groups={"ethnicity": "ab"[n % 2], "age_band": "", "skin_tone": "",
                    "gender_presentation": ""},
            difference=float(n % 2 == 0 and n % 3 == 0),
        )
        for n in range(2 * MIN_PEOPLE)
    ]  # fmt: skip
    found = count_flips(rows)
    assert found.worst_group == "ethnicity: a"
    assert list(found.by_group) == ["ethnicity"]


@given(flips=st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=30, max_size=60))
def test_a_share_is_the_mean_over_pairs_inside_its_interval(flips: list[list[bool]]) -> None:
    groups = dict.fromkeys(("age_band", "gender_presentation", "ethnicity", "skin_tone"), "")
    rows = [
        Compared(kind="hair", person=str(person), groups=groups, difference=float(one))
        for person, own in enumerate(flips)
        for one in own
    ]
    whole = count_flips(rows).whole
    assert whole is not None
    assert whole.value == pytest.approx(sum(map(sum, flips)) / sum(map(len, flips)))
    assert whole.low <= whole.value + 1e-9
    assert whole.high >= whole.value - 1e-9
    assert (whole.people, whole.pairs) == (len(flips), sum(map(len, flips)))


def test_pairs_of_one_person_widen_the_interval() -> None:
    """Six pairs of a person that flip together are one observation, not six (closed form)."""
    groups = dict.fromkeys(("age_band", "gender_presentation", "ethnicity", "skin_tone"), "")
    rows = [
        Compared(kind="hair", person=str(n), groups=groups, difference=float(n % 4 == 0))
        for n in range(100)
        for _ in range(6)
    ]
    whole = count_flips(rows).whole
    assert whole is not None
    width = 2 * 1.96 * sqrt(0.25 * 0.75 / 100)
    assert whole.high - whole.low == pytest.approx(width, rel=0.1)


def test_any_representation_can_be_compared() -> None:
    codes = represent(lambda image: torch.tensor(read(image)) > 0, PAIRS[8:16])
    found = compare_twins(PAIRS[8:16], codes, differing_bits)
    assert [pair.difference for pair in found] == [pytest.approx(1 / 3)] * 8
    equal = represent(lambda image: read(image)[:2], PAIRS[8:16])
    assert not any(pair.difference for pair in compare_twins(PAIRS[8:16], equal))
    with pytest.raises(ValueError, match="codes of one shape"):
        differing_bits(torch.zeros(2), torch.zeros(3))


def test_lines_are_what_the_prompt_says_of_the_person() -> None:
    (first, second), *_ = lines_of([((), ())], through("healthcare"))
    assert first == second == "somebody, in plain sentences"


def test_observations_of_other_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="observations of 320 pairs, got 0"):
        measure_twins(PAIRS, [], through("healthcare"))


def test_the_table_has_a_line_for_each_kind_and_says_where_people_are_too_few() -> None:
    table = as_flips({"healthcare": measured(Planted([HAIR]))})
    assert table.count("\n") == 1 + 1 + len(TWIN_KINDS)
    assert "| healthcare | hair | 40 | 40 | 100.0 % (100.0 to 100.0) |  |" in table
    few = measure_twins(PAIRS[:8], [((), ())] * 8, through("healthcare"))
    assert "fewer than 30 people" in as_flips({"healthcare": few})
