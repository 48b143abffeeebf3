"""What `discreet privacy spent` says of ledgers, against the accountant and the ledger itself."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from discreet.cli import app
from discreet.cli.accounts import ledger_of
from discreet.errors import ArtifactError
from discreet.privacy import PrivacyLedger, PrivacyPlan, best_tpr, cross_check, epsilon_of
from discreet.types import OwnerId

WARD, SCHOOL = OwnerId("ward-7"), OwnerId("school")
DATA = "ab" * 32
PLAN = PrivacyPlan(
    target_epsilon=8.0,
    delta=1e-5,
    max_grad_norm=1.0,
    noise_multiplier=2.0,
    sample_rate=1.0,
    steps=20,
    expected_batch_size=30,
    accountant="rdp",
)


def up(epsilon: float) -> str:
    """Two digits, rounded up: less than was spent is never shown."""
    return f"{math.ceil(epsilon * 100) / 100:.2f}"


def spent(*words: object) -> Result:
    return CliRunner().invoke(app, ["privacy", "spent", *map(str, words)])


def words_of(*words: object) -> str:
    """Return what is said to people, without frames and line breaks."""
    done = spent(*words)
    assert done.exit_code == 0, done.exception
    assert done.stdout == "", "talk goes to stderr"
    return " ".join(done.stderr.replace("│", " ").split())


def run_in(folder: Path, *, unsettled: int = 0) -> Path:
    """Spend 3 of 4 steps of the plan and 2 of a quieter one for the ward, none for the school."""
    ledger = PrivacyLedger.open(folder / "ledger.jsonl", run=folder.name)
    ledger.open_account(WARD, PLAN, fingerprint=DATA)
    ledger.settle(ledger.reserve(WARD, steps=4), 3)
    ledger.open_account(WARD, replace(PLAN, noise_multiplier=3.0))
    ledger.settle(ledger.reserve(WARD, steps=2), 2)
    if unsettled:
        ledger.reserve(WARD, steps=unsettled)
    ledger.open_account(SCHOOL, replace(PLAN, steps=3))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_in(tmp_path / "first")


def epsilon(*times: int) -> float:
    """Return the epsilon of the run's steps of both plans, taken so many times."""
    quiet = replace(PLAN, noise_multiplier=3.0)
    return epsilon_of([PLAN.event(times[0]), quiet.event(times[1])], PLAN.delta, "rdp")


def test_it_says_epsilon_with_all_that_gives_it_a_meaning(run: Path) -> None:
    words = words_of(run, "--owner", WARD)
    assert f"epsilon = {up(epsilon(3, 2))} at delta = 1e-05" in words
    assert "(unit: example, neighbours: add_or_remove_one)" in words
    assert "3 steps, sample rate 1, noise 2.000 x the clipping norm " in words
    assert "2 steps, sample rate 1, noise 3.000 x the clipping norm " in words
    assert "epsilon = 8 at the same delta" in words
    assert "not a person's guarantee" in words
    assert "--examples-per-user" in words
    assert "school" not in words
    assert "not settled" not in words


def test_what_is_left_is_what_the_ledger_would_still_reserve(run: Path) -> None:
    ledger = PrivacyLedger(run / "ledger.jsonl")
    left = ledger.account(WARD).steps_left()
    assert 0 < left < 20
    assert f"{left} steps of the plan still fit" in words_of(run, "--owner", WARD)
    assert "3 or more steps of the plan still fit" in words_of(run, "--owner", SCHOOL)
    ledger.reserve(WARD, steps=left)
    assert "no further step of the plan fits" in words_of(run, "--owner", WARD)


def test_unsettled_steps_are_counted_and_explained(tmp_path: Path) -> None:
    words = words_of(run_in(tmp_path / "killed", unsettled=5))
    assert f"epsilon = {up(epsilon(3, 7))}" in words
    assert "5 of these steps, in 1 reservation" in words
    assert "all of them count" in words


def test_runs_on_the_same_data_are_added_up(run: Path, tmp_path: Path) -> None:
    """The data's fingerprint is shown by its beginning."""
    words = words_of(run, run_in(tmp_path / "second"))
    together = (
        f"Together, on the data abababab…, which 2 accounts name: epsilon = {up(epsilon(6, 4))}"
    )
    assert together in words
    assert DATA not in words


def test_without_a_fingerprint_a_named_owner_is_added_up(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ledger = PrivacyLedger.open(tmp_path / name / "ledger.jsonl")
        ledger.open_account(WARD, PLAN)
        ledger.reserve(WARD, steps=2)
    assert "nothing was added up" in words_of(tmp_path / "a", tmp_path / "b")
    words = words_of(tmp_path / "a", tmp_path / "b", "--owner", WARD)
    total = epsilon_of([PLAN.event(4)], PLAN.delta, "rdp")
    assert f"if ward-7 has the same data in all of them: epsilon = {up(total)}" in words


def test_machines_get_the_same_numbers(run: Path) -> None:
    done = spent(run, "--json")
    (found,) = json.loads(done.stdout)["ledgers"]
    school, ward = found["owners"]
    ledger = PrivacyLedger(run / "ledger.jsonl")
    assert (school["owner"], school["steps"], school["events"]) == (SCHOOL, 0, [])
    assert ward["spent"]["epsilon"] == ledger.spent(WARD).epsilon
    assert set(ward["spent"]) == {"epsilon", "delta", "unit", "neighbouring_relation"}
    assert [event["steps"] for event in ward["events"]] == [3, 2]
    assert ward["not_settled"] == {"reservations": 0, "steps": 0}
    assert DATA not in done.stdout


def test_a_person_is_told_apart_from_an_example(run: Path, tmp_path: Path) -> None:
    ledger = PrivacyLedger(run / "ledger.jsonl")
    words = words_of(run, run_in(tmp_path / "second"), "--examples-per-user", 3)
    of_a_person = ledger.spent(WARD, unit="user", examples_per_user=3)
    assert of_a_person.epsilon > ledger.spent(WARD).epsilon
    assert f"with up to 3 examples: epsilon = {up(of_a_person.epsilon)} at delta" in words
    assert "accounts name, a person with up to 3 examples: epsilon =" in words
    assert "unit: user" in words
    assert "not a person's guarantee" in words
    assert "beyond what can be computed" in words_of(run, "--examples-per-user", 500)


def test_the_shipped_ledger_is_explained_and_owners_alike_share_their_lines() -> None:
    words = words_of("reference")
    assert "owner-0, owner-1, owner-2, owner-3 (each of them)" in words
    account = ledger_of("reference", Path()).account(OwnerId("owner-0"))
    assert words.count(f"epsilon = {up(account.spent().epsilon)} at delta = 1e-05") == 1
    found = cross_check(account.events, 1e-5)
    assert found.prv is not None
    assert f"pld {up(found.pld)}, prv {up(found.prv)}, rdp {up(found.rdp)} (a check)" in words
    percent = math.ceil(1000 * best_tpr(account.events, fpr=0.01)) / 10
    assert f"finds {percent:.1f}% of the examples" in words


@pytest.mark.parametrize(
    ("change", "steps", "person"),
    [
        (
            {"sampler": "bins"},
            "4 steps in bins (each example in one step of every 20), noise 2.000 x",
            "with up to 3 examples: epsilon =",
        ),
        (
            {"sampler": "cyclic", "bands": 2},
            "4 steps, sample rate 0.05, in 2 groups that take turns, noise 2.000 x the clipping "
            "norm, correlated over 2 steps",
            "no figure is known for several examples that share noise",
        ),
        (
            {"unit": "user", "sampled": "user", "examples_per_user": 5},
            "4 steps, sample rate 0.05, users are drawn, at most 5 examples of a user, noise",
            "hidden with all their examples; --examples-per-user changes nothing",
        ),
        (
            {"clip_quantile": 0.5, "clip_count_noise": 1.5},
            "noise 2.683 x the clipping norm; the norm follows the 50% quantile by counts with "
            "noise 1.5",
            "with up to 3 examples: epsilon =",
        ),
        (
            {"loss_noise": 4.0, "loss_clip": 3.0},
            "noise 2.309 x the clipping norm; sums of losses, each up to 3, are released with "
            "noise 12",
            "with up to 3 examples: epsilon =",
        ),
    ],
)
def test_steps_are_told_as_they_were_trained(
    tmp_path: Path, change: dict[str, Any], steps: str, person: str
) -> None:
    """Not as their events, whose rates and counts are the accountant's."""
    for name in ("a", "b"):
        ledger = PrivacyLedger.open(tmp_path / name / "ledger.jsonl")
        ledger.open_account(WARD, replace(PLAN, sample_rate=0.05, **change), fingerprint=DATA)
        ledger.reserve(WARD, steps=4)
    words = words_of(tmp_path / "a", tmp_path / "b", "--examples-per-user", 3)
    assert steps in words
    assert person in words


def test_other_units_on_the_same_data_are_not_added_up(tmp_path: Path) -> None:
    users = {"unit": "user", "sampled": "user", "examples_per_user": 5}
    for name, change in {"a": {}, "b": users}.items():
        ledger = PrivacyLedger.open(tmp_path / name / "ledger.jsonl")
        ledger.open_account(WARD, replace(PLAN, **change), fingerprint=DATA)  # type: ignore[arg-type]
        ledger.reserve(WARD, steps=1)
    assert "these accounts hide different units" in words_of(tmp_path / "a", tmp_path / "b")


def test_noise_from_a_public_seed_promises_nothing(tmp_path: Path) -> None:
    ledger = PrivacyLedger.open(tmp_path / "ledger.jsonl")
    ledger.open_account(WARD, PLAN)
    ledger.reserve(WARD, steps=2, is_private=False)
    words = words_of(ledger.path)
    assert "not private noise from a public seed in 2 steps" in words
    assert "as likely" not in words
    other = run_in(tmp_path / "second")
    assert "promises nothing, see above" in words_of(ledger.path, other, "--owner", WARD)
    (owner,) = json.loads(spent(ledger.path, "--json").stdout)["ledgers"][0]["owners"]
    assert owner["is_private"] is False


def test_reading_a_ledger_writes_nothing(run: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    words_of(run / "ledger.jsonl")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_id_is_looked_up_in_the_folder_of_runs(run: Path) -> None:
    assert "ward-7" in words_of(run.name, "--runs", run.parent)


def test_what_cannot_be_explained_is_named_with_a_way_out(run: Path, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    for words, way_out in [
        (("nowhere",), "adapters list"),
        ((tmp_path / "server",), "owners' devices"),
        ((run, "--owner", "nobody"), "'nobody'"),
    ]:
        done = spent(*words)
        assert isinstance(done.exception, ArtifactError)
        assert way_out in str(done.exception)


def test_many_owners_are_told_by_the_worst_the_mean_and_their_number(tmp_path: Path) -> None:
    ledger = PrivacyLedger.open(tmp_path / "ledger.jsonl")
    for number in range(21):
        owner = OwnerId(f"owner-{number}")
        ledger.open_account(owner, PLAN)
        ledger.settle(ledger.reserve(owner, steps=2), 1 + (number == 7))
    found = ledger.accounts()
    said = words_of(ledger.path)
    assert f"owner owner-7 spent {found[OwnerId('owner-7')].spent()}" in said
    assert "owners 21; the one above spent most" in said
    mean = sum(account.spent().epsilon for account in found.values()) / 21
    assert f"mean epsilon = {up(mean)} at delta = 1e-05" in said
    assert "owner-8" not in said
    assert len(json.loads(spent(ledger.path, "--json").stdout)["ledgers"][0]["owners"]) == 21
