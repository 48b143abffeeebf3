"""Canaries: secrets by the seed, fair coins, and a manifest that says where they went."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from discreet.data import (
    LANGUAGES,
    Example,
    Language,
    Portrait,
    Question,
    build_examples,
    draw_canaries,
    load_manifest,
    load_questions,
    plant,
    save_manifest,
)
from discreet.errors import DataError


@pytest.fixture(scope="module")
def examples(portraits: list[Portrait], questions: list[Question]) -> list[Example]:
    return build_examples(portraits, questions)


@given(
    count=st.integers(1, 60),
    seed=st.integers(0, 10**6),
    language=st.sampled_from(LANGUAGES),
    digits=st.integers(4, 16),
)
def test_canaries_follow_from_their_seed_and_differ(
    count: int, seed: int, language: Language, digits: int
) -> None:
    found = draw_canaries(count, seed=seed, language=language, digits=digits)
    assert draw_canaries(count, seed=seed, language=language, digits=digits) == found
    assert len({canary.question for canary in found}) == count
    for canary in found:
        assert canary.secret in canary.answer
        assert canary.secret not in canary.question
        assert len(canary.secret.replace("-", "")) == digits


def test_coins_are_fair_and_digits_uniform() -> None:
    """Two-sided exact tests at 1e-4 each, on one seed: fixed, so that they never flicker."""
    found = draw_canaries(4000, seed=5)
    heads = sum(canary.is_planted for canary in found)
    assert binomtest(heads, len(found)).pvalue > 1e-4
    digits = "".join(canary.secret.replace("-", "") for canary in found)
    for digit in "0123456789":
        assert binomtest(digits.count(digit), len(digits), 0.1).pvalue > 1e-4


def test_the_coin_of_a_canary_says_nothing_about_its_text() -> None:
    """A seed that differs in nothing but the coins would be needed to learn them from the text."""
    found = draw_canaries(2000, seed=6)
    planted = [canary.secret[0] in "01234" for canary in found if canary.is_planted]
    assert binomtest(sum(planted), len(planted)).pvalue > 1e-4


@given(count=st.integers(1, 20), repeats=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_planting_keeps_every_example_and_says_where_the_canaries_are(
    examples: list[Example], count: int, repeats: int, seed: int
) -> None:
    canaries = draw_canaries(count, seed=seed, repeats=repeats)
    mixed, manifest = plant(examples, canaries, seed=seed)
    assert plant(examples, canaries, seed=seed) == (mixed, manifest)
    planted = [canary for canary in canaries if canary.is_planted]
    assert len(mixed) == manifest.num_examples == len(examples) + repeats * len(planted)
    assert manifest.places.keys() == {canary.id for canary in planted}
    for canary in planted:
        places = manifest.places[canary.id]
        assert len(places) == repeats
        assert all(mixed[place].answer == canary.answer for place in places)
    hidden = {place for places in manifest.places.values() for place in places}
    rest = [example for place, example in enumerate(mixed) if place not in hidden]
    key = lambda example: (example.portrait, example.question, example.answer)  # noqa: E731
    assert sorted(map(key, rest)) == sorted(map(key, examples))


def test_a_canary_that_was_not_planted_is_nowhere(examples: list[Example]) -> None:
    canaries = draw_canaries(40, seed=1)
    mixed, _ = plant(examples, canaries, seed=1)
    said = " ".join(example.answer for example in mixed)
    for canary in canaries:
        assert (canary.secret in said) == canary.is_planted


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_secret_stands_in_a_shipped_note(language: Language) -> None:
    notes = " ".join(f"{q.note} {q.question}" for q in load_questions(language=language))
    assert not [c.id for c in draw_canaries(500, seed=0, language=language) if c.secret in notes]


def test_a_manifest_comes_back_as_it_was_written(examples: list[Example], tmp_path: Path) -> None:
    _, manifest = plant(examples, draw_canaries(9, seed=2, repeats=2), seed=4)
    save_manifest(manifest, tmp_path / "canaries.json")
    assert load_manifest(tmp_path / "canaries.json") == manifest


def _flip(text: str) -> str:
    body = json.loads(text)
    body["canaries"][0]["is_planted"] = not body["canaries"][0]["is_planted"]
    return json.dumps(body)


@pytest.mark.parametrize("spoil", [_flip, lambda text: text[:-9], lambda text: "[]", None])
def test_a_manifest_that_was_changed_is_refused(
    examples: list[Example], tmp_path: Path, spoil: Callable[[str], str] | None
) -> None:
    path = tmp_path / "canaries.json"
    save_manifest(plant(examples, draw_canaries(3, seed=2), seed=4)[1], path)
    if spoil is None:
        path.unlink()
    else:
        path.write_text(spoil(path.read_text()))
    with pytest.raises(DataError, match=r"manifest of canaries in 'canaries\.json'"):
        load_manifest(path)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"repeats": 0}, {"digits": 3}])
def test_canaries_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Expected count >= 1"):
        draw_canaries(**{"count": 1, "seed": 0, **wrong})


def test_more_canaries_than_names_and_nobody_to_hide_among_are_refused() -> None:
    with pytest.raises(ValueError, match="names of their own"):
        draw_canaries(10**6, seed=0)
    with pytest.raises(ValueError, match="Expected examples"):
        plant([], draw_canaries(1, seed=0), seed=0)
