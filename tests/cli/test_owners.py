"""A few owners are told one by one, many by the worst, the mean and their number."""

import doctest

from discreet.cli import owners
from discreet.cli.owners import MOST_OWNERS, lines_of_owners, mean_of
from discreet.types import PrivacyStatement


def spent(epsilon: float, unit: str = "example") -> PrivacyStatement:
    return PrivacyStatement(
        epsilon=epsilon, delta=1e-5, unit=unit, neighbouring_relation="add_or_remove_one"
    )


def test_a_few_owners_are_told_by_number() -> None:
    lines = list(lines_of_owners({f"owner-{n}": spent(n) for n in range(1, MOST_OWNERS + 1)}))
    assert [line.split()[0] for line in lines] == [f"owner-{n}" for n in range(1, MOST_OWNERS + 1)]


def test_many_owners_are_the_worst_the_mean_and_their_number() -> None:
    count = MOST_OWNERS + 1
    lines = list(lines_of_owners({f"owner-{n}": spent(float(n)) for n in range(count)}))
    assert lines == [
        f"owner-{count - 1} spent most of {count} owners: {spent(count - 1.0)}",
        f"mean of {count} owners: {spent((count - 1) / 2)}",
        "every owner: --json",
    ]


def test_statements_of_two_kinds_have_no_mean() -> None:
    assert mean_of([spent(1.0), spent(3.0)]) == spent(2.0)
    assert mean_of([spent(1.0), spent(3.0, "user")]) is None


def test_the_example_in_the_file_runs() -> None:
    result = doctest.testmod(owners)
    assert result.attempted
    assert not result.failed
