"""The table: what was run for each row, and how rows are made of cells."""

from dataclasses import asdict

import pytest

from discreet.bench import Cell, Scores, as_markdown, compare, load_held_out, summarise
from discreet.bench.compare import KINDS
from discreet.federated import TrainConfig
from discreet.types import PrivacyStatement

PLAN = TrainConfig(
    base="tiny",
    num_owners=2,
    num_rounds=1,
    local_steps=2,
    sample_rate=0.004,
    expected_batch_size=5,
)


@pytest.fixture(scope="module")
def cells() -> tuple[list[Cell], list[str]]:
    steps: list[str] = []
    held_out = load_held_out(examples=4, trios=2)
    return compare(PLAN, [0, 3], held_out=held_out, on_step=steps.append), steps


def test_each_seed_trains_once_in_the_clear_and_once_privately(
    cells: tuple[list[Cell], list[str]],
) -> None:
    found, steps = cells
    base, clear, private = KINDS
    assert [(cell.kind, cell.seed) for cell in found] == [
        (base, None), (clear, 0), (private, 0), (clear, 3), (private, 3)
    ]  # fmt: skip
    assert [steps.count(kind) for kind in KINDS] == [0, 2 * 2 * 2, 2 * 2 * 2]
    losses = {cell.scores.gated_loss for cell in found}
    assert len(losses) == 5, "five adapters, no two alike"


def test_only_private_rows_promise_anything(cells: tuple[list[Cell], list[str]]) -> None:
    for cell in cells[0]:
        if cell.kind != KINDS[2]:
            assert cell.privacy is None
            continue
        assert cell.privacy is not None
        assert 0.9 * PLAN.target_epsilon < cell.privacy.epsilon <= PLAN.target_epsilon
        assert cell.privacy.delta == PLAN.delta


def test_a_cell_can_be_made_again_from_its_seed(cells: tuple[list[Cell], list[str]]) -> None:
    seen: list[Cell] = []
    again = compare(PLAN, [3], held_out=load_held_out(examples=4, trios=2), on_cell=seen.append)
    assert again == seen
    assert [asdict(cell) for cell in again[1:]] == [asdict(cell) for cell in cells[0][3:]]


def cell(kind: str, seed: int | None, loss: float, follows: float = 0.5) -> Cell:
    scores = Scores(
        examples=4,
        gated_loss=loss,
        native_loss=loss + 1,
        ranked=6,
        follows_words=follows,
        follows_portrait=follows,
    )
    privacy = PrivacyStatement(
        epsilon=7.5, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )
    return Cell(kind=kind, seed=seed, scores=scores, privacy=privacy if kind == KINDS[2] else None)


def test_a_row_is_the_mean_and_the_range_over_seeds() -> None:
    rows = summarise([cell(KINDS[2], 0, 1.0), cell(KINDS[0], None, 3.0), cell(KINDS[2], 1, 2.0)])
    assert [row["kind"] for row in rows] == [KINDS[0], KINDS[2]]
    assert rows[1]["seeds"] == 2
    assert rows[1]["gated_loss"] == {"mean": 1.5, "spread": 1.0}
    assert rows[1]["native_loss"] == {"mean": 2.5, "spread": 1.0}
    lines = as_markdown(rows).splitlines()
    assert lines[2].startswith(f"| {KINDS[0]} | 1 | 3.000 | 4.000 | 0.500 | 0.500 | none |")
    assert "| 1.500 ± 0.500 |" in lines[3]
    assert "epsilon = 7.50 at delta = 1e-05 (unit: example" in lines[3]
    assert {line.count("|") for line in lines} == {8}
