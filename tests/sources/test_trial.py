"""Sharing out takes as much memory for many rows as for few."""

import doctest

import pytest

from discreet.sources import measure_sharing, trial
from discreet.sources.trial import ROWS_PER_PERSON, generated


def test_memory_does_not_grow_with_the_rows() -> None:
    """Held as records, the further rows would take some 25 MiB (1.4 KiB each)."""
    few, many = measure_sharing(2000, 50), measure_sharing(20_000, 50)
    assert (few.rows, many.rows) == (2000, 20_000)
    assert few.owners_with_rows <= 50
    assert many.peak_mib < few.peak_mib + 15
    assert many.peak_before_mib < many.peak_mib


def test_generated_rows_are_of_people_with_several_pictures() -> None:
    records = list(generated(20))
    assert len({record.person for record in records}) == 20 // ROWS_PER_PERSON
    assert len({record.media[0].name for record in records}) == 20


@pytest.mark.parametrize(("rows", "owners", "alpha"), [(0, 1, 0.5), (1, 0, 0.5), (1, 1, -1.0)])
def test_wrong_settings_are_refused(rows: int, owners: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="Expected"):
        measure_sharing(rows, owners, alpha=alpha)


def test_the_example_runs() -> None:
    assert doctest.testmod(trial).failed == 0


@pytest.mark.slow
def test_a_million_rows_over_a_thousand_owners_take_less_than_a_gigabyte() -> None:
    found = measure_sharing(1_000_000, 1000)
    assert found.owners_with_rows > 900
    assert found.peak_mib < 300
