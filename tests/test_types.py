"""Numbers of a privacy statement, as they are said."""

from discreet.types import PrivacyStatement, rounded_up


def test_a_tiny_number_keeps_two_digits_and_is_never_less_than_it_is() -> None:
    shown = [rounded_up(number) for number in (0.0, 7.941, 0.1, 0.0991, 0.00091, 1.01e-7)]
    assert shown == ["0.00", "7.95", "0.10", "0.10", "0.00091", "1.1e-07"]
    statement = PrivacyStatement(
        epsilon=0.0009, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )
    assert str(statement).startswith("epsilon = 0.00090 at delta = 1e-05 (unit: ")
