"""What counts as found, how thresholds are chosen, and what the written questions promise."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import LEAST_FIT, Find, Notes
from discreet.bench import (
    Asking,
    Best,
    Share,
    as_grounding_rows,
    choose_least_fit,
    load_asks,
    measure_grounding,
    verbatim,
)
from discreet.bench.ground import WRONG_COSTS
from discreet.cli.bench_ground import best_notes
from discreet.cli.chat import shipped_notes
from discreet.data import LANGUAGES, Language, load_questions


def ask(note: str | None) -> Asking:
    return Asking(id="h002", text="?", language="en", domain="healthcare", note=note)


def test_a_question_is_right_wrong_or_refused() -> None:
    asks = [ask("a"), ask("a"), ask("a"), ask("a"), ask(None), ask(None)]
    fits = [Best("a", 0.9), Best("b", 0.5), Best("a", 0.4), Best(None, 0), Best("b", 0.5)]
    found = measure_grounding(asks, [*fits, Best("a", 0.1)], 0.5)
    assert (found.top, found.right, found.wrong) == (Share(2, 4), Share(1, 4), Share(1, 4))
    assert (found.refused, found.out_of_scope) == (Share(2, 4), Share(1, 2))
    assert "| 1/2 (9% to 91%) |" in as_grounding_rows([("words", "x", found)])


def test_an_interval_is_that_of_a_published_example() -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857), table I, method 3: 81 of 263, 15 of 148."""
    assert Share(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Share(15, 148).interval == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert Share(0, 20).interval == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert Share(0, 0).interval == (0.0, 1.0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", None]), st.sampled_from(["a", "b"]), st.integers(1, 5)),
        min_size=1,
    )
)
def test_no_other_threshold_gains_more(drawn: list[tuple[str | None, str, int]]) -> None:
    asks, best = [ask(n) for n, _, _ in drawn], [Best(b, fit / 5) for _, b, fit in drawn]

    def gain(least: float) -> int:
        taken = [n == b for n, b, fit in drawn if fit / 5 >= least]
        return sum(taken) - WRONG_COSTS * (len(taken) - sum(taken))

    chosen = choose_least_fit(asks, best)
    assert gain(chosen) == max(gain(n / 10) for n in range(13))


@pytest.mark.parametrize("language", LANGUAGES)
def test_written_questions_name_notes_of_their_domain(language: Language) -> None:
    known = {q.id: q for q in load_questions(language=language)}
    asks = load_asks(language)
    inside = [one for one in asks if one.note is not None]
    assert len(inside) >= {"en": 90, "fr": 30}[language]
    assert all(known[one.note or ""].domain == one.domain for one in inside)
    own = {" ".join(one.text.casefold().split()) for one in verbatim(language)}
    assert not [one.id for one in inside if " ".join(one.text.casefold().split()) in own]
    assert {known[one.note or ""].part for one in inside} == {"public", "private", "held_out"}


def test_both_halves_have_questions_of_every_kind() -> None:
    asks = [one for language in LANGUAGES for one in load_asks(language)]
    assert len({one.id for one in asks}) == len({one.text for one in asks}) == len(asks)
    assert sum(one.note is None for one in asks) >= 60
    kinds = {(one.language, one.domain, one.note is None, one.chooses) for one in asks}
    assert len(kinds) == len(list(product("ef", "ht", (0, 1), (0, 1))))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("find", ["words", pytest.param("meaning", marks=pytest.mark.slow)])
def test_the_shipped_threshold_is_the_one_that_is_chosen(find: Find, language: Language) -> None:
    notes = Notes.build(shipped_notes(language), find=find)
    choosing = [one for one in load_asks(language) if one.chooses]
    chosen = choose_least_fit(choosing, best_notes(notes, choosing))
    assert LEAST_FIT[find][language] == pytest.approx(chosen, abs=0.005)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_shipped_question_finds_its_note_word_for_word(language: Language) -> None:
    notes, own = Notes.build(shipped_notes(language)), verbatim(language)
    found = measure_grounding(own, best_notes(notes, own), notes.least_fit)
    assert found.right == Share(len(own), len(own))
