"""The problem is what it says, the floors are least squares, and rules err as they must."""

import pytest
import torch

from discreet.aggregation import RULES
from discreet.bench import CONTENDERS, SURROUNDINGS, as_aggregation_table, measure_aggregation
from discreet.bench.aggregation import (
    HEIGHT,
    RANK,
    WIDTH,
    Contender,
    Surroundings,
    draw_problem,
    error_of,
    floor_of,
    lora_task,
    plan_for,
)

CALM = Surroundings(owners=4, heterogeneity=0.0, epsilon=8)


def contender(rule: str, rank: int = RANK) -> Contender:
    return Contender(rule=rule, rank=rank, learning_rate=1.0)


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_the_mean_of_the_owners_maps_is_the_truth(apart: float) -> None:
    problem = draw_problem(4, apart, seed=0)
    assert float(problem.truth.norm()) == pytest.approx(1.0)
    assert int(torch.linalg.matrix_rank(problem.truth)) == RANK
    maps = [torch.linalg.lstsq(e.inputs, e.targets).solution.T for e in problem.owned.values()]
    assert float((torch.stack(maps).mean(0) - problem.truth).norm()) < 0.05
    lengths = [float((one - problem.truth).norm()) for one in maps]
    assert sum(lengths) / 4 == pytest.approx(apart, abs=0.1)


@pytest.mark.parametrize("each", CONTENDERS, ids=lambda each: each.name)
def test_a_floor_is_what_least_squares_leave(each: Contender) -> None:
    truth = draw_problem(4, 0.0, seed=1).truth
    task = lora_task(plan_for(each, CALM, 1), {})
    factors = {n: p.detach() for n, p in task.model.named_parameters() if ".lora_" in n}
    a = next(p for n, p in factors.items() if ".lora_A." in n)
    b = next(p for n, p in factors.items() if ".lora_B." in n)
    if each.rule == "ffa":
        reach = torch.kron(torch.eye(HEIGHT), a.T.contiguous())
    elif each.rule == "fedsb":
        reach = torch.kron(b, a.T.contiguous())
    else:
        assert floor_of(task, truth) == 0
        return
    wanted = truth.reshape(-1, 1).double()
    best = reach.double() @ torch.linalg.lstsq(reach.double(), wanted).solution
    assert floor_of(task, truth) == pytest.approx(float((best - wanted).norm()), abs=1e-4)


def test_every_rule_starts_from_nothing_and_a_state_that_is_the_truth_has_no_error() -> None:
    truth = draw_problem(4, 0.0, seed=0).truth
    for rule in RULES:
        task = lora_task(plan_for(contender(rule), CALM, 0), {})
        assert error_of(task.initial_state(), task, truth) == 1
    task = lora_task(plan_for(contender("fedex"), CALM, 0), {})
    state = task.initial_state()
    delta = next(name for name in state if name.endswith(".delta"))
    assert state[delta].shape == (HEIGHT, WIDTH)
    assert error_of(state | {delta: truth}, task, truth) == 0


def test_every_rule_is_measured() -> None:
    assert {each.rule for each in CONTENDERS} == set(RULES)
    assert len(set(CONTENDERS)) == len(CONTENDERS)
    assert len(set(SURROUNDINGS)) == len(SURROUNDINGS)


def test_where_owners_agree_a_free_rule_finds_the_truth_and_a_frozen_one_its_floor() -> None:
    told: list[str] = []
    flex, frozen = measure_aggregation(
        [0],
        surroundings=[CALM],
        contenders=[contender("flexlora"), contender("ffa", HEIGHT)],
        on_run=told.append,
    )
    assert told == ["flexlora", "ffa"]
    assert flex.errors[0] < 0.2
    assert frozen.floors[0] <= frozen.errors[0] < frozen.floors[0] + 0.05
    table = as_aggregation_table([flex, frozen])
    assert "| flexlora, r = 4 | 0.00 |" in table
    assert f"| ffa, r = 16 | {frozen.floors[0]:.2f} | {frozen.errors[0]:.2f} (" in table
