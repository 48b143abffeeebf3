"""Readability by formulas computed by hand, and one library that is shared by two languages."""

import pytest

from discreet.readers import in_band, reading_ease, reading_grade, smog_grade


def test_the_grade_of_a_hand_computed_text() -> None:
    """0.39 * 10 words / 2 sentences + 11.8 * 10 syllables / 10 words - 15.59 = -1.84."""
    text = "The cat sat on mats. The dog ran to us."
    assert reading_grade(text) == pytest.approx(0.39 * 5 + 11.8 * 1 - 15.59, abs=0.1)


def test_the_ease_of_a_hand_computed_french_text() -> None:
    """Kandel and Moles: 207 - 1.015 * 4 words a sentence - 73.6 * 5 syllables / 4 words."""
    text = "Le chat dort bien. Le chien mange tout."
    assert reading_ease(text) == pytest.approx(207 - 1.015 * 4 - 73.6 * 8 / 8, abs=10)


def test_smog_of_long_words_is_higher() -> None:
    easy = "The cat sat on the mat. " * 30
    hard = "Photosynthesis transforms carbon dioxide. Respiration liberates energy. " * 15
    assert smog_grade(easy) == pytest.approx(3.1, abs=0.1), "1.043 * sqrt(0) + 3.1291"
    assert smog_grade(hard) > 10


def test_languages_do_not_disturb_each_other() -> None:
    english, french = "Drink water when it is hot outside.", "Buvez de l'eau quand il fait chaud."
    first = reading_grade(english), reading_ease(french)
    again = reading_ease(french), reading_grade(english)
    assert first == again[::-1]


def test_a_band_has_two_ends() -> None:
    easy = "Drink water. It helps."
    hard = "Cardiovascular physiotherapists recommend individualised rehabilitation programmes."
    assert in_band(easy, "child", "en")
    assert not in_band("Go. Sit. Run.", "middle_aged", "en")
    assert not in_band(hard, "middle_aged", "en")
    assert in_band("Bois de l'eau. Cela aide.", "child", "fr")
    assert not in_band(hard, "child", "fr")
