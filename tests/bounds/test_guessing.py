import numpy as np
import pytest

from discreet.bounds import CANARIES_NEEDED, Choice, Guesses, default_choices, guess


def test_the_highest_are_said_to_be_in_and_the_lowest_out() -> None:
    scores = np.array([0.1, 3.0, -2.0, 0.2, 2.0, -1.0])
    included = np.array([True, True, False, False, False, True])
    found = guess(scores, included, Choice(guess_in=2, guess_out=1))
    assert found == Guesses(canaries=6, guesses=3, correct=2)
    assert guess(scores, included, Choice(guess_in=2, guess_out=0)).correct == 1
    assert guess(scores, included, Choice(guess_in=0, guess_out=2)).correct == 1


def test_scores_that_are_all_equal_tell_nothing_of_the_coins() -> None:
    included = np.random.default_rng(0).random(10000) < 0.5
    found = guess(np.zeros(10000), included, Choice(guess_in=5000, guess_out=5000))
    assert abs(found.correct - 5000) < 200  # 4 standard deviations


def test_choices_do_not_look_at_scores_and_say_how_many_are_needed() -> None:
    assert default_choices(1000) == tuple(
        Choice(guess_in=half, guess_out=half) for half in (25, 100, 250, 500)
    )
    with pytest.raises(ValueError, match=f"at least {CANARIES_NEEDED}"):
        default_choices(CANARIES_NEEDED - 1)


@pytest.mark.parametrize(
    ("scores", "included", "message"),
    [
        (np.array([1.0, np.nan]), np.array([True, False]), "finite scores"),
        (np.array([1.0, np.inf]), np.array([True, False]), "finite scores"),
        (np.array([1.0]), np.array([True, False]), "one coin for each"),
        (np.array([1.0, 2.0]), np.array([1, 0]), "one coin for each"),
    ],
)
def test_scores_without_a_meaning_are_refused(
    scores: np.ndarray, included: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        guess(scores, included, Choice(guess_in=1, guess_out=0))


def test_numbers_that_do_not_fit_are_refused() -> None:
    scores, included = np.zeros(4), np.zeros(4, dtype=bool)
    for choice in (Choice(guess_in=3, guess_out=2), Choice(guess_in=0, guess_out=0)):
        with pytest.raises(ValueError, match="Guess fewer"):
            guess(scores, included, choice)
    with pytest.raises(ValueError, match="correct <= guesses"):
        Guesses(canaries=5, guesses=3, correct=4)
