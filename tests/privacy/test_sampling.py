import pytest
import torch
from scipy import stats

from discreet.privacy import CounterGenerator, Draw, bins, cyclic, poisson

ALARM = 1e-6


def stream(name: str = "sampling") -> CounterGenerator:
    return CounterGenerator.seeded(name)


def test_batches_are_poisson_and_not_shuffled() -> None:
    """Sizes are binomial and every example is drawn alike: false alarm below 1e-6 each."""
    n, rate, draws = 50, 0.2, 2000
    draw = poisson(n, rate, stream())
    batches = [draw() for _ in range(draws)]
    sizes = torch.tensor([len(batch) for batch in batches])
    wanted = stats.binom(n, rate).pmf(range(n + 1)) * draws
    found = torch.bincount(sizes, minlength=n + 1).numpy()
    common = wanted > 5
    pairs = [[*found[common], found[~common].sum()], [*wanted[common], wanted[~common].sum()]]
    assert stats.chisquare(*pairs).pvalue > ALARM
    counts = torch.bincount(torch.tensor([i for batch in batches for i in batch]), minlength=n)
    assert (counts - draws * rate).abs().max() < 5 * (draws * rate * (1 - rate)) ** 0.5


def test_one_example_more_changes_nothing_for_the_others_but_their_coins() -> None:
    """Two examples join independently: what a shuffled batch of fixed size cannot do."""
    draw = poisson(2, 0.5, stream())
    table = torch.zeros(2, 2)
    for _ in range(4000):
        batch = draw()
        table[int(0 in batch), int(1 in batch)] += 1
    assert stats.chi2_contingency(table.numpy()).pvalue > ALARM
    assert (table > 850).all()


@pytest.mark.parametrize(
    "draw",
    [poisson(5, 1.0, stream()), bins(5, 1.0, stream()), cyclic(5, 1.0, 1, stream())],
    ids=["poisson", "bins", "cyclic"],
)
def test_everybody_is_drawn_at_rate_one(draw: Draw) -> None:
    assert draw() == draw() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "draw",
    [poisson(0, 0.5, stream()), bins(0, 0.5, stream()), cyclic(0, 0.25, 2, stream())],
    ids=["poisson", "bins", "cyclic"],
)
def test_nobody_is_drawn_from_none(draw: Draw) -> None:
    assert [draw() for _ in range(5)] == [[]] * 5


def test_in_cycles_nobody_comes_twice_within_so_many_steps() -> None:
    bands = 4
    draw = cyclic(40, 0.2, bands, stream())
    steps: dict[int, set[int]] = {}
    for step in range(400):
        for example in draw():
            steps.setdefault(example, set()).add(step % bands)
    assert all(len(turns) == 1 for turns in steps.values())
    assert len(steps) == 40
    assert {turn for turns in steps.values() for turn in turns} == set(range(bands))


def test_in_cycles_everybody_comes_as_often_as_without() -> None:
    draw = cyclic(100, 0.1, 5, stream())
    total = sum(len(draw()) for _ in range(1000))
    assert stats.binomtest(total, 100 * 1000 // 5, 0.5).pvalue > ALARM


def test_groups_are_drawn_one_by_one() -> None:
    """Whether two neighbours share a group is chance, a quarter of the time with four groups."""
    together = 0
    for seed in range(400):
        draw = cyclic(2, 0.25, 4, stream(str(seed)))  # the whole group joins
        turns = [draw() for _ in range(4)]
        together += sum(len(batch) == 2 for batch in turns)
    assert stats.binomtest(together, 400, 0.25).pvalue > ALARM


def test_bins_hold_everybody_once_in_each_epoch() -> None:
    draw = bins(30, 0.1, stream())
    epochs = [[draw() for _ in range(10)] for _ in range(5)]
    for epoch in epochs:
        assert sorted(example for batch in epoch for example in batch) == list(range(30))
    assert epochs[0] != epochs[1]


def test_places_in_bins_are_drawn_one_by_one() -> None:
    """Sizes vary as binomial ones do; equal batches would mean that examples push each other."""
    draw = bins(100, 0.1, stream())
    sizes = torch.tensor([float(len(draw())) for _ in range(2000)])
    assert abs(float(sizes.var()) / 9 - 1) < 5 * (2 / 2000) ** 0.5
