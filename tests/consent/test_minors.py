"""Who is asked where somebody is young: by country, and for nothing that is estimated."""

import pytest

from discreet.consent import (
    NOTICE_CONTEXTS,
    Standing,
    ask_age,
    load_notice,
    notice_for,
    protection_of,
    standing_of,
)
from discreet.law import consent_age
from discreet.types import AGE_BANDS

YOUNG: tuple[Standing, ...] = ("child", "youth")


@pytest.mark.parametrize(
    ("country", "years"), [("MT", 13), ("AT", 14), ("FR", 15), ("DE", 16), ("nowhere", 16)]
)
def test_the_age_that_is_asked_for_is_that_of_the_country(country: str, years: int) -> None:
    assert consent_age(country) == years
    assert [span.text for span in ask_age(country, "en").spans] == [
        f"under {years}",
        f"{years} to 17",
        "18 or older",
    ]
    assert ask_age(country, "fr").spans[0].text == f"moins de {years} ans"


def test_the_answers_are_ordered_from_the_most_protected_on() -> None:
    standings = [span.standing for span in ask_age("FR", "fr").spans]
    assert standings == ["child", "youth", "adult"]
    assert [protection_of(standing).guardian for standing in standings] == [True, False, False]


def test_nothing_is_estimated_or_kept_of_anybody_under_18() -> None:
    for standing in YOUNG:
        protection = protection_of(standing)
        assert not protection.estimates
        assert not protection.keeps
    assert protection_of("adult").estimates


def test_whoever_looks_like_a_child_or_says_so_is_one() -> None:
    assert [standing_of(band) for band in AGE_BANDS] == ["child", "adult", "adult", "adult"]
    assert standing_of(None) == "adult"


@pytest.mark.parametrize("context", NOTICE_CONTEXTS)
def test_no_minor_is_asked_for_an_estimate(context: str) -> None:
    asked = load_notice(context, "en").names
    for standing in YOUNG:
        notice = notice_for(standing, context, "en")
        assert set(asked).isdisjoint(notice.names if notice else ())
    child, adult = notice_for("child", context, "en"), notice_for("adult", context, "en")
    assert child is not None
    assert child.guardian
    assert adult == load_notice(context, "en")
