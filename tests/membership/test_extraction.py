"""Reading secrets out, against brute force over all secrets of a form."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest

from discreet.intervals import share_interval
from discreet.membership import measure_extraction, read_out

Model = Callable[[Sequence[tuple[int, ...]]], np.ndarray]
FORM = [(0, 1, 2), (3,), (0, 1, 2), (1, 2)]


def chain(seed: int) -> Model:
    """A model whose next token depends on all that was said."""

    def next_log_probs(prefixes: Sequence[tuple[int, ...]]) -> np.ndarray:
        rows = [np.random.default_rng([seed, *prefix]).dirichlet(np.ones(4)) for prefix in prefixes]
        return np.log(np.array(rows))

    return next_log_probs


def log_prob(model: Model, secret: tuple[int, ...]) -> float:
    open_places = [place for place, allowed in enumerate(FORM) if len(allowed) > 1]
    return sum(float(model([secret[:place]])[0][secret[place]]) for place in open_places)


@pytest.mark.parametrize("seed", range(10))
def test_a_beam_as_wide_as_all_beginnings_finds_the_likeliest(seed: int) -> None:
    model = chain(seed)
    best = max(product(*FORM), key=lambda secret: log_prob(model, secret))
    assert read_out(model, FORM, width=18) == best
    greedy = read_out(model, FORM, width=1)
    assert log_prob(model, greedy) <= log_prob(model, best) + 1e-12


def test_greedy_takes_the_likeliest_at_each_place_and_nothing_beyond_the_form() -> None:
    model = chain(3)
    found = read_out(model, FORM, width=1)
    for place, allowed in enumerate(FORM):
        row = model([found[:place]])[0]
        assert found[place] == max(allowed, key=lambda token: row[token])


def test_a_remembered_secret_is_found_and_one_that_is_not_is_found_by_chance_only() -> None:
    draw = np.random.default_rng(0)
    form = [tuple(range(10))] * 4
    secrets = [tuple(draw.integers(10, size=4).tolist()) for _ in range(400)]

    def remembers(secret: tuple[int, ...]) -> Model:
        def model(prefixes: Sequence[tuple[int, ...]]) -> np.ndarray:
            likely = np.full((len(prefixes), 10), 0.01)
            for row, prefix in zip(likely, prefixes, strict=True):
                row[secret[len(prefix)]] = 0.9
            return np.log(likely)

        return model

    planted = [read_out(remembers(secret), form, width=2) for secret in secrets]
    others = [read_out(remembers(secret), form, width=2) for secret in secrets[1:] + secrets[:1]]
    kinds = [measure_extraction(f, secrets, [form] * 400) for f in (planted, others)]
    assert (kinds[0].share, kinds[0].tokens_right) == (1.0, 1.0)
    assert kinds[1].low < 1e-4 <= kinds[1].high
    assert kinds[1].tokens_low <= kinds[1].tokens_by_chance == 0.1 <= kinds[1].tokens_high


def test_intervals_are_over_secrets_and_places_without_a_choice_do_not_count() -> None:
    secrets = [(0, 3, 1, 1), (2, 3, 2, 2)]
    found = measure_extraction([(0, 3, 1, 1), (1, 3, 2, 1)], secrets, [FORM, FORM])
    assert (found.secrets, found.exact) == (2, 1)
    assert (found.low, found.high) == share_interval(1, 2)
    assert found.tokens_right == pytest.approx(4 / 6)
    assert (found.tokens_low, found.tokens_high) == pytest.approx((1 / 3, 1.0))
    assert found.tokens_by_chance == pytest.approx((2 / 3 + 1 / 2) / 3)


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ValueError, match="width of 1 or more"):
        read_out(chain(0), FORM, width=0)
    with pytest.raises(ValueError, match="Plant canaries first"):
        measure_extraction([], [], [])
    with pytest.raises(ValueError, match="forms with a choice"):
        measure_extraction([(1,)], [(1,)], [[(1,)]])
