"""What somebody says of themselves: how long it is kept, and what takes it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant.profile import Profile

KEPT = {"age_band": 60, "reading": 0}


def profile_at(now: list[float]) -> Profile:
    """Return a profile whose clock is the only thing in a list."""
    return Profile(KEPT.__getitem__, clock=lambda: now[0])


@given(later=st.floats(0.0, 200.0))
def test_what_was_said_is_kept_as_long_as_the_policy_says(later: float) -> None:
    now = [0.0]
    profile = profile_at(now)
    profile.say("age_band", "middle_aged")
    now[0] = later
    assert profile.values == ({"age_band": "middle_aged"} if later <= 60 else {})


def test_what_is_said_for_one_turn_is_there_in_the_next_one_alone() -> None:
    profile = profile_at([0.0])
    profile.say("reading", "plain")
    profile.end_turn()
    assert profile.values == {"reading": "plain"}
    profile.end_turn()
    assert profile.values == {}


def test_what_is_rejected_is_taken_back_until_it_is_accepted() -> None:
    profile = profile_at([0.0])
    profile.say("age_band", "middle_aged")
    profile.reject("age_band")
    assert profile.values == {}
    assert profile.rejected == {"age_band"}
    assert len(profile) == 1
    profile.accept("age_band")
    assert len(profile) == 0


@pytest.mark.parametrize(("name", "value"), [("race", "any"), ("race", None), ("age_band", "old")])
def test_nothing_else_can_be_said(name: str, value: str | None) -> None:
    with pytest.raises(ValueError, match="^Expected") as refused:
        profile_at([0.0]).say(name, value)
    assert "any" not in str(refused.value).split()


def test_what_was_said_is_told_in_the_words_of_each_language() -> None:
    profile = profile_at([0.0])
    assert profile.in_words("en") == ""
    profile.say("age_band", "older_adult")
    profile.say("reading", "plain")
    assert profile.in_words("en") == "age group: older adult, how you like to read: plain words"
    assert profile.in_words("fr") == ("tranche d'âge : personne âgée, façon de lire : mots simples")
