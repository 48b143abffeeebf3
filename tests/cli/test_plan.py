"""`discreet privacy plan` as a person types it."""

import json
import math
import re
from pathlib import Path

import pytest

from discreet.cli.plan_report import as_table, report_on
from discreet.federated import TrainConfig, plan_of
from discreet.privacy import (
    Event,
    PrivacyLedger,
    PrivacyPlan,
    banded_coefficients,
    best_tpr,
    calibrate,
    epsilon_of,
    prefix_sum_error,
)
from discreet.types import OwnerId
from tests.cli.conftest import Run


@pytest.fixture
def plan(discreet: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `discreet privacy plan`; stderr is on one line."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words: object) -> tuple[int, str, str]:
        status, out, err = discreet("privacy", "plan", *words)
        return status, out, " ".join(err.split())

    return run


COMMON = ("--epsilon", 4, "--steps", 100, "--examples-expected", 2000, "--expected-batch-size", 40)


def test_the_plan_in_json_is_the_calibrated_one(plan: Run) -> None:
    status, out, _ = plan(*COMMON, "--json")
    found = json.loads(out)
    assert status == 0
    expected = calibrate(
        target_epsilon=4.0, delta=1e-5, sample_rate=0.02, steps=100, expected_batch_size=40
    )
    assert PrivacyPlan.from_dict(found["plan"]) == expected
    event = expected.event(100)
    assert found["epsilon"]["pld"] == expected.epsilon
    assert found["epsilon"]["pld"] < found["epsilon"]["rdp"]
    assert found["best_attack"] == {"fpr": 0.01, "tpr": best_tpr([event], fpr=0.01)}
    shuffled = Event(noise_multiplier=expected.noise_multiplier, sample_rate=1.0, steps=2)
    assert found["shuffled_epsilon"] == epsilon_of([shuffled], 1e-5, "pld")
    assert 4 < found["user_epsilon"]["2"] < found["user_epsilon"]["4"] < found["user_epsilon"]["8"]


def test_the_report_says_what_is_promised_and_what_is_not(plan: Run) -> None:
    status, out, err = plan(*COMMON)
    assert (status, out) == (0, "")
    for words in (
        "at delta = 1e-05 (unit: example, neighbours: add_or_remove_one)",
        "100, each with 40 examples on average",
        "This is not a user's guarantee",
        "shuffled batches (each once in every 50 steps, nothing claimed for who is drawn): epsilon",
        "a guess finds 1%",
        "times as likely with any one example in the data as without it (or without as with), plus",
    ):
        assert words in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--sampler", "bins"), "claims nothing for who is drawn"),
        (("--sampler", "cyclic", "--bands", 4), "times the noise that independent noise leaves"),
        (("--unit", "user", "--examples-per-user", 3), "at most 3 are used"),
        (("--unit", "owner"), "each with 40 owners on average"),
        (("--unit", "owner"), "x the norm to which the update of an owner is clipped"),
        (("--unit", "owner"), "hidden with all that is theirs at one owner"),
        (
            ("--unit", "user", "--sampled", "user", "--examples-per-user", 3),
            "mean gradient of a user",
        ),
        (("--clip-quantile", 0.5), "follows the 50% quantile"),
        (("--clip-quantile", 0.5, "--clip-count-noise", 7), "by counts with noise 7"),
        (
            ("--sampler", "cyclic", "--bands", 4, "--steps-per-call", 10),
            "running sum of all steps within a call has",
        ),
        (
            ("--unit", "user", "--examples-per-user", 3),
            "prv cannot count several examples of a user",
        ),
        (("--delta", 5e-4), "beware"),
    ],
)
def test_every_mechanism_is_named(plan: Run, words: tuple[object, ...], expected: str) -> None:
    status, _, err = plan(*COMMON, *words)
    assert status == 0
    assert expected in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--examples-expected", 10), "at least 30 examples"),
        (("--examples-expected", 100, "--sample-rate", 0.1), "got both"),
        (("--unit", "user"), "--examples-per-user"),
        (("--clip-count-noise", 2), "--clip-quantile"),
        (("--clip-quantile", 0.5, "--expected-batch-size", 1), "Give --clip-count-noise"),
        (("--sampler", "shuffled"), "sampler='shuffled'"),
        (("--epsilon", 0), "target_epsilon > 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    plan: Run, words: tuple[object, ...], expected: str
) -> None:
    status, _, err = plan(*words)
    assert status != 0
    assert expected in err.replace("\u2502 ", "")


def test_owners_cost_what_examples_cost_at_the_same_rate(plan: Run) -> None:
    """To an accountant both are one thing that is drawn and clipped."""
    found = [json.loads(plan(*COMMON, *words, "--json")[1]) for words in ((), ("--unit", "owner"))]
    for name in ("epsilon", "shuffled_epsilon", "best_attack"):
        assert found[0][name] == found[1][name]
    assert (found[1]["unit"], found[1]["plan"]["sampled"]) == ("owner", "owner")
    assert found[1]["user_epsilon"] == {}


def test_owners_who_add_the_noise_themselves_are_planned_for(plan: Run) -> None:
    common = ("--unit", "owner", "--neighbours", "zero_out_one", "--steps", 20)
    status, _, err = plan(*common, "--accountant", "rdp", "--sample-rate", 1)
    assert status == 0
    assert "(unit: owner, neighbours: zero_out_one)" in err
    status, _, err = plan(*common, "--sample-rate", 1)
    assert status != 0
    assert "accountant='rdp'" in err


def test_an_epsilon_that_means_nothing_is_not_dressed_up() -> None:
    weak = PrivacyPlan(
        target_epsilon=100.0,
        delta=1e-5,
        max_grad_norm=1.0,
        noise_multiplier=0.3,
        sample_rate=0.1,
        steps=20,
        expected_batch_size=8,
    )
    report = report_on(weak)
    assert report.user_epsilon[8] is None
    cells = [str(cell) for column in as_table(report).columns for cell in column.cells]
    assert any("promises nothing to an example" in cell for cell in cells)
    assert not any("as likely" in cell for cell in cells)
    assert any("8 examples too large to compute" in cell for cell in cells)


def test_a_tiny_epsilon_is_not_zero(plan: Run) -> None:
    _, _, err = plan("--epsilon", 0.0009, "--steps", 1)
    found = re.findall(r"epsilon = (\S+) at delta|at most (\S+) times|pld (\S+),", err)
    shown, times, pld = (next(filter(None, each)) for each in found)
    assert shown == pld
    assert 0.98 * 0.0009 <= float(shown) <= 0.0009
    assert 1 + float(shown) <= float(times) < 1.001


def test_a_delta_that_lets_one_of_them_be_published_is_told(plan: Run) -> None:
    assert json.loads(plan(*COMMON, "--delta", 4.9e-4, "--json")[1])["beware"] == []
    (told,) = json.loads(plan(*COMMON, "--delta", 5e-4, "--json")[1])["beware"]
    assert "1 / 2000" in told


def test_the_plan_of_a_training_is_told_from_its_file(plan: Run, tmp_path: Path) -> None:
    config = TrainConfig(num_rounds=3, sampler="bins", target_epsilon=5.0, reproducible=True)
    config.save(tmp_path / "plan.toml")
    status, out, err = plan(tmp_path / "plan.toml", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert PrivacyPlan.from_dict(found["plan"]) == plan_of(config)
    assert "public seed" in found["beware"][0]
    status, _, err = plan(tmp_path / "plan.toml", "--epsilon", 3, "--steps", 2)
    assert status != 0
    assert "got --epsilon, --steps" in err


@pytest.fixture
def half_spent(tmp_path: Path) -> PrivacyLedger:
    ledger = PrivacyLedger.open(tmp_path / "ledger.jsonl")
    settings = {"delta": 1e-5, "sample_rate": 0.05, "steps": 40, "expected_batch_size": 30}
    ledger.open_account(OwnerId("clinic"), calibrate(target_epsilon=4.0, **settings))  # type: ignore[arg-type]
    ledger.settle(ledger.reserve(OwnerId("clinic"), steps=20), steps_started=20)
    return ledger


def test_a_plan_for_a_spent_account_uses_what_is_left(plan: Run, half_spent: PrivacyLedger) -> None:
    """Both together spend the target; taken for new, the same noise would pass it."""
    drawn = ("--sample-rate", 0.05, "--steps", 40, "--json")
    status, out, err = plan("--ledger", half_spent.path, "--owner", "clinic", *drawn)
    assert status == 0, err
    found = json.loads(out)
    assert found["already"] == half_spent.spent(OwnerId("clinic")).epsilon
    assert 0.98 * 4 <= found["epsilon"]["pld"] <= 4
    fresh = json.loads(plan("--epsilon", 4, *drawn)[1])
    assert found["plan"]["noise_multiplier"] > 1.1 * fresh["plan"]["noise_multiplier"]
    assert found["plan"]["target_epsilon"] == 4
    assert found["shuffled_epsilon"] is None, "the past was drawn as it was"


def test_correlated_noise_is_compared_at_the_same_total(
    plan: Run, half_spent: PrivacyLedger
) -> None:
    """Against noise that also pays for what was spent."""
    account = ("--ledger", half_spent.path, "--owner", "clinic", "--steps", 40)
    ours = json.loads(plan(*account, "--sampler", "cyclic", "--bands", 4, "--json")[1])
    theirs = json.loads(plan(*account, "--json")[1])
    ratio = ours["plan"]["noise_multiplier"] / theirs["plan"]["noise_multiplier"]
    error = [prefix_sum_error(banded_coefficients(bands), 40) for bands in (4, 1)]
    assert ours["noise_in_the_sum"] == pytest.approx(ratio * math.sqrt(error[0] / error[1]))
    assert "if shuffled" not in plan(*account)[2]


def test_an_unknown_owner_is_told_the_known_ones(plan: Run, half_spent: PrivacyLedger) -> None:
    status, _, err = plan("--ledger", half_spent.path, "--owner", "school")
    assert status != 0
    assert "which are clinic; got school" in err


def test_an_account_keeps_its_promise(plan: Run, half_spent: PrivacyLedger) -> None:
    account = ("--ledger", half_spent.path, "--owner", "clinic")
    for change in (("--epsilon", 9), ("--delta", 1e-3), ("--unit", "user")):
        status, _, err = plan(*account, *change)
        assert status != 0
        assert "account" in err
    assert plan("--ledger", half_spent.path)[0] != 0
