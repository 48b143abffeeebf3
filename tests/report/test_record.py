"""What is read of a run folder, against what the run itself, its ledger and its metrics say."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt
from discreet.privacy import PrivacyLedger
from discreet.registry import REFERENCE_DIR, read_card, write_card
from discreet.report import NAMES, read_run
from discreet.types import OwnerId
from report.conftest import Edit, released, sent

Copy = Callable[..., RunFolder]


def test_owners_are_those_of_the_ledger_with_what_it_says(finished: RunFolder) -> None:
    record = read_run(finished)
    ledger = PrivacyLedger(finished.ledger_path)
    assert record.owners_from == "ledger.jsonl"
    assert {owner.name: owner.spent for owner in record.owners} == {
        str(name): ledger.spent(name) for name in ledger.owners()
    }
    assert [(o.steps, o.unsettled, o.seeded) for o in record.owners] == [(6, 0, 6)] * 2
    assert record.worst == max((o.spent for o in record.owners if o.spent), key=lambda s: s.epsilon)


def test_rounds_say_what_the_metrics_say(finished: RunFolder) -> None:
    record, lines = read_run(finished), finished.read_metrics()
    assert [one.number for one in record.rounds] == [1, 2]
    assert record.rounds_done == 2
    for one in record.rounds:
        own = [line for line in lines if line["round"] == one.number]
        epsilons = [line["value"] for line in own if line["name"] == "epsilon"]
        assert one.replies == 2
        assert one.worst is not None
        assert one.worst.epsilon == max(epsilons)
        assert one.mean_epsilon == pytest.approx(fmean(epsilons))
        assert one.loss == fmean(line["value"] for line in own if line["name"] == "train_loss")


def test_what_an_old_run_does_not_say_is_missing_and_not_zero(old_run: Copy) -> None:
    record = read_run(old_run())
    one = record.rounds[0]
    assert (one.bytes_down, one.bytes_up, one.seconds, one.clip_norm) == (None,) * 4
    assert record.total_bytes is None
    assert record.rounds_with_bytes == 0


def test_bytes_seconds_and_drops_are_counted(old_run: Copy) -> None:
    edit: Edit = lambda lines: [  # noqa: E731 - a fixture's argument
        *lines,
        *sent(1, down=2000, up=1000, seconds=1.5),
        *(released(n, "dropped", 1, node=7, reason="NoReply") for n in (1, 2)),
        released(2, "dropped", 1, node=8, reason="BudgetExhausted"),
    ]
    record = read_run(old_run(edit))
    assert (record.total_bytes, record.rounds_with_bytes) == (3000, 1)
    assert record.rounds[0].seconds == 1.5
    assert record.rounds[1].dropped == {"NoReply": 1, "BudgetExhausted": 1}
    assert record.dropped == {"NoReply": 2, "BudgetExhausted": 1}


def test_a_node_that_is_silent_in_a_round_keeps_what_it_had_spent(old_run: Copy) -> None:
    def silence(lines: list[dict[str, object]]) -> list[dict[str, object]]:
        gone = (2, "epsilon", 1000)
        return [x for x in lines if (x["round"], x["name"], x.get("node")) != gone]

    before, after = (read_run(run).rounds for run in [old_run(silence)] for _ in range(2))
    first, second = before[0], after[1]
    assert first.mean_epsilon is not None
    assert second.mean_epsilon is not None
    assert second.worst is not None
    assert second.mean_epsilon == pytest.approx((first.mean_epsilon + second.worst.epsilon) / 2)


def test_a_card_tells_spending_and_metrics_the_steps(
    old_run: Copy,
) -> None:
    run = old_run()
    run.ledger_path.unlink()
    before = read_run(run)
    card = read_card(RunFolder(REFERENCE_DIR))
    spent = {owner.name: owner.spent for owner in before.owners if owner.spent}
    write_card(run, replace(card, per_owner=spent))
    record = read_run(run)
    assert record.owners_from == "card.json"
    assert record.owners == before.owners
    assert record.is_said


def test_names_of_another_form_are_refused(old_run: Copy) -> None:
    run = old_run()
    run.write_json(NAMES, ["clinic-a"])
    with pytest.raises(ArtifactCorrupt, match="Expected names by node"):
        read_run(run)


def test_a_server_without_ledger_says_what_its_nodes_said(old_run: Copy) -> None:
    run = old_run()
    run.ledger_path.unlink()
    record = read_run(run)
    assert record.owners_from == "metrics.jsonl"
    assert [(owner.name, owner.steps) for owner in record.owners] == [
        ("node-1000", 6),
        ("node-1001", 6),
    ]
    assert record.worst == record.rounds[-1].worst


def test_the_run_that_ships_is_read_with_its_card() -> None:
    run = RunFolder(REFERENCE_DIR)
    record = read_run(run)
    assert record.card == read_card(run)
    assert {owner.name: owner.spent for owner in record.owners} == record.card.per_owner
    assert all(one.loss is None for one in record.rounds), "exported: nothing local"


def test_why_a_run_ended_is_forgotten_once_it_went_on(old_run: Copy) -> None:
    end = {"name": "ended", "value": "budget_exhausted", "reason": "No budget."}
    ended = [{**end, "round": number, "visibility": "released"} for number in (2, 3)]
    run = old_run(lambda lines: [*lines, ended[0]])
    assert read_run(run).ended is None
    run.append_metric(ended[1])
    record = read_run(run)
    assert record.ended == "No budget."
    assert len(record.rounds) == 2


def test_statements_of_other_kinds_have_no_mean(old_run: Copy) -> None:
    def mix(lines: list[dict[str, object]]) -> list[dict[str, object]]:
        return [x | {"delta": 1e-6} if x.get("node") == 1001 else x for x in lines]

    assert all(one.mean_epsilon is None for one in read_run(old_run(mix)).rounds)


@pytest.mark.parametrize(
    "line",
    [
        {"round": 1, "visibility": "released", "name": "replies", "value": "many"},
        {"round": 1, "visibility": "released", "name": "replies", "value": True},
        {"round": 1, "visibility": "released", "name": "epsilon", "value": 1.0},
        {"visibility": "released", "name": "replies", "value": 1},
        {"round": "<b>", "visibility": "released", "name": "replies", "value": 1},
    ],
)
def test_a_line_that_is_none_of_ours_is_refused_in_words(
    old_run: Copy, line: dict[str, object]
) -> None:
    run = old_run(lambda lines: [*lines, line])
    with pytest.raises(ArtifactCorrupt, match=r"metrics\.jsonl"):
        read_run(run)


@pytest.mark.parametrize("wrong", ["inf", "nan", "'8'", "true", "-1.0"])
def test_a_plan_that_promises_nonsense_is_corrupt(old_run: Copy, wrong: str) -> None:
    run = old_run()
    lines = run.config_path.read_text().splitlines()
    plan = [line for line in lines if not line.startswith("target_epsilon")]
    run.config_path.write_text("\n".join([f"target_epsilon = {wrong}", *plan]))
    with pytest.raises(ArtifactCorrupt, match="target_epsilon"):
        read_run(run)


def test_numbers_that_no_float_holds_are_corrupt(old_run: Copy) -> None:
    run = old_run()
    line = {"round": 1, "name": "seconds", "value": 10**400, "visibility": "released"}
    run.metrics_path.write_text(json.dumps(line) + "\n")
    with pytest.raises(ArtifactCorrupt, match="metrics"):
        read_run(run)


def test_the_base_is_told_by_name_and_not_by_its_place(old_run: Copy) -> None:
    run = old_run()
    lines = run.config_path.read_text().splitlines()
    plan = [line for line in lines if not line.startswith("base ")]
    run.config_path.write_text("\n".join(["base = '/home/somebody/bases/mine'", *plan]))
    assert read_run(run).config["base"] == "mine"


def test_a_folder_without_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"config\.toml"):
        read_run(RunFolder.create(tmp_path / "empty"))


def test_an_account_beyond_all_numbers_is_no_number(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from discreet.privacy import Account, OutOfRange

    def raising(account: Account) -> None:
        raise OutOfRange("beyond")

    monkeypatch.setattr(Account, "spent", raising)
    record = read_run(finished)
    assert [owner.spent for owner in record.owners] == [None, None]
    assert record.worst is None, "the rest is no bound where one owner has none"
    assert OwnerId(record.owners[0].name) == "owner-0"


def test_the_released_loss_is_the_mean_and_not_a_nodes(old_run: Copy) -> None:
    edit: Edit = lambda lines: [  # noqa: E731 - a fixture's argument
        *lines,
        released(1, "loss", 2.0),
        *(released(1, "loss", 2.0 + node, node=node) for node in (-1, 1)),
    ]
    first, second = read_run(old_run(edit)).rounds
    assert first.released_loss == 2.0
    assert first.loss != 2.0
    assert second.released_loss is None
