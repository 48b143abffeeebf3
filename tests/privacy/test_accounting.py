"""Epsilon against an independent accountant (Google's dp-accounting) and published numbers."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.privacy import epsilon_of

DELTA = 1e-5


@dataclass(frozen=True)
class Round:
    noise_multiplier: float
    sample_rate: float
    steps: int


def epsilon_by_pld(rounds: list[Round], delta: float) -> float:
    accountant = PLDAccountant()
    for one in rounds:
        step = PoissonSampledDpEvent(one.sample_rate, GaussianDpEvent(one.noise_multiplier))
        accountant.compose(SelfComposedDpEvent(step, one.steps))
    return float(accountant.get_epsilon(delta))


@pytest.mark.parametrize(
    ("rounds", "delta"),
    [
        ([Round(1.0, 0.032, 31)], 1e-4),
        ([Round(1.0, 0.025, 400)], 1e-5),
        ([Round(0.7, 0.1, 20)], 1e-6),
        ([Round(8.0, 1.0, 100)], 1e-5),
        ([Round(50.0, 0.01, 10)], 1e-5),
        ([Round(1.0, 0.032, 31), Round(2.0, 0.05, 40), Round(0.8, 0.01, 100)], 1e-5),
        ([Round(3.0, 1.0, 2), Round(1.0, 0.1, 10), Round(3.0, 1.0, 2)], 1e-5),
    ],
)
def test_composed_epsilon_agrees_with_an_independent_accountant(
    rounds: list[Round], delta: float
) -> None:
    ours, theirs = epsilon_of(rounds, delta, "prv"), epsilon_by_pld(rounds, delta)
    assert theirs - 1e-3 <= ours <= theirs + 0.05
    assert theirs <= epsilon_of(rounds, delta, "rdp")


@pytest.mark.parametrize(("num_rounds", "expected"), [(1, 1.78), (10, 3.59), (50, 7.92)])
def test_rounds_compose_to_the_known_figures(num_rounds: int, expected: float) -> None:
    """A new accountant each round would report 1.78 for ever."""
    rounds = [Round(1.0, 0.025, 40)] * num_rounds
    assert epsilon_of(rounds, DELTA, "rdp") == pytest.approx(expected, abs=0.01)


@settings(max_examples=7, deadline=None, derandomize=True)
@given(
    noise=st.floats(0.8, 4.0),
    rate=st.floats(0.01, 0.3),
    steps=st.integers(1, 30),
    num_rounds=st.integers(1, 20),
    accountant=st.sampled_from(["prv", "rdp"]),
)
def test_epsilon_grows_with_rounds(
    noise: float, rate: float, steps: int, num_rounds: int, accountant: str
) -> None:
    past = [Round(noise, rate, steps)] * num_rounds
    coming = Round(noise * 1.5, rate, steps)
    before = epsilon_of(past, DELTA, accountant)
    assert before < epsilon_of([*past, past[0]], DELTA, accountant)
    assert before < epsilon_of([*past, coming], DELTA, accountant) + 1e-3


def test_the_order_of_rounds_is_free() -> None:
    rounds = [Round(1.0, 0.03, 10), Round(2.0, 0.05, 10), Round(1.0, 0.03, 5)]
    there, back = epsilon_of(rounds, DELTA, "prv"), epsilon_of(rounds[::-1], DELTA, "prv")
    assert there == pytest.approx(back, abs=1e-6)


def test_nothing_costs_nothing() -> None:
    assert epsilon_of([], DELTA, "prv") == 0


@pytest.mark.parametrize(
    ("entry", "delta", "accountant", "word"),
    [
        (Round(1e-3, 0.5, 10), DELTA, "prv", "noise_multiplier=0.001"),
        (Round(1.0, 0.01, 100), 1e-16, "prv", "delta=1e-16"),
        (Round(1.0, 0.01, 100), 1.0, "prv", "delta=1.0"),
        (Round(1.0, 0.01, 100), DELTA, "moments", "prv, rdp"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(
    entry: Round, delta: float, accountant: str, word: str
) -> None:
    with pytest.raises(ValueError, match="Expected") as caught:
        epsilon_of([entry], delta, accountant)
    assert word in str(caught.value)


def test_importing_sets_up_no_logging() -> None:
    """Opacus calls logging.basicConfig at import; an application must keep that choice."""
    code = "import logging, discreet.privacy; assert not logging.root.handlers"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
