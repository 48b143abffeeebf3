"""Numbers of a privacy statement, as they are said."""

import math

from discreet.types import PrivacyStatement, meaning, rounded_up


def test_a_tiny_number_keeps_two_digits_and_is_never_less_than_it_is() -> None:
    shown = [rounded_up(number) for number in (0.0, 7.941, 0.1, 0.0991, 0.00091, 1.01e-7)]
    assert shown == ["0.00", "7.95", "0.10", "0.10", "0.00091", "1.1e-07"]
    statement = PrivacyStatement(
        epsilon=0.0009, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )
    assert str(statement).startswith("epsilon = 0.00090 at delta = 1e-05 (unit: ")


def test_epsilon_and_delta_are_said_as_the_bound_that_they_are() -> None:
    """Against the definition: P(with) <= exp(epsilon) P(without) + delta; rounded up."""

    def spent(epsilon: float) -> PrivacyStatement:
        return PrivacyStatement(
            epsilon=epsilon, delta=1e-5, unit="user", neighbouring_relation="add_or_remove_one"
        )

    words = meaning("example", spent(1.5))
    assert "is at most 4.49 times as likely" in words, "exp(1.5) is 4.4817"
    assert words.endswith("as without it (or without as with), plus 1e-05")
    assert "at most 2,824 times" in meaning("user", spent(math.log(2823.1)))
    assert meaning("user", spent(20.0)) == "so large an epsilon promises nothing to a user"
    assert meaning("owner", spent(20.0)).endswith("nothing to an owner")
