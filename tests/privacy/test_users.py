"""Users: bounded, drawn as a whole, and one voice each."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from discreet.privacy import (
    CounterGenerator,
    ExampleLosses,
    PrivacyPlan,
    StepRecord,
    fit_private,
    rows_of_counts,
)
from discreet.privacy.users import UserLosses, most_of_one_user

USERS = ["zoe", "ben", "zoe", "eve", "zoe"]
NO_NOISE = 1e-12


def settings(**changes: object) -> PrivacyPlan:
    values = {
        "target_epsilon": 8.0,
        "delta": 1e-5,
        "max_grad_norm": 1.0,
        "noise_multiplier": NO_NOISE,
        "sample_rate": 1.0,
        "steps": 100,
        "expected_batch_size": 1,
        "unit": "user",
        "sampled": "user",
        "examples_per_user": 3,
        "accountant": "pld",
    }
    return PrivacyPlan(**{**values, **changes})  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 5)))
def test_the_most_examples_of_one_user_are_counted(user_of: list[int]) -> None:
    assert most_of_one_user(user_of) == max((user_of.count(u) for u in user_of), default=0)


def losses_of(most: int) -> tuple[UserLosses, list[list[int]]]:
    asked: list[list[int]] = []

    def loss_of(drawn: Sequence[int]) -> torch.Tensor:
        asked.append(list(drawn))
        return torch.tensor([10.0**index for index in drawn], requires_grad=True)

    stream = CounterGenerator.seeded("users")
    return UserLosses(loss_of, USERS, most=most, rows_per_example=2, generator=stream), asked


def test_the_loss_of_a_user_is_the_mean_over_their_examples() -> None:
    users, asked = losses_of(3)
    found = users([0, 2])  # zoe with 0, 2 and 4; eve with 3
    assert len(users) == 3
    assert asked == [[0, 2, 4, 3]]
    torch.testing.assert_close(found.values, torch.tensor([(1 + 100 + 10_000) / 3, 1000.0]))
    assert found.rows.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]  # type: ignore[union-attr]


def test_at_most_so_many_examples_of_a_user_take_part_and_each_has_its_turn() -> None:
    users, asked = losses_of(2)
    for _ in range(50):
        users([0])
    assert {len(drawn) for drawn in asked} == {2}
    assert {tuple(drawn) for drawn in asked} == {(0, 2), (0, 4), (2, 4)}


def test_rows_of_parts_become_rows_of_users() -> None:
    def loss_of(drawn: Sequence[int]) -> ExampleLosses:
        values = torch.ones(len(drawn), requires_grad=True)
        pictures = [index % 3 for index in drawn]
        return ExampleLosses(
            values=values,
            rows={"language": torch.arange(len(drawn)), "vision": rows_of_counts(pictures)},
        )

    stream = CounterGenerator.seeded("users")
    users = UserLosses(loss_of, USERS, most=3, rows_per_example=1, generator=stream)
    rows = users([1, 0]).rows  # ben: 1; zoe: 0, 2, 4 with 0, 2, 1 pictures
    assert rows["language"].tolist() == [0, 1, 1, 1]  # type: ignore[index]
    assert rows["vision"].tolist() == [0, 1, 1, 1]  # type: ignore[index]


def linear(inputs: torch.Tensor) -> tuple[nn.Linear, object]:
    model = nn.Linear(inputs.shape[1], 1, bias=False).double()
    nn.init.zeros_(model.weight)
    return model, lambda drawn: model(inputs[list(drawn)]).squeeze(1)


def moved(inputs: torch.Tensor, user_of: Sequence[str], **changes: object) -> torch.Tensor:
    """Return the sum that a step releases without noise."""
    model, loss_of = linear(inputs)
    fit_private(
        model,
        loss_of,  # type: ignore[arg-type]
        num_examples=len(inputs),
        plan=settings(**changes),
        steps=1,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        sampling_generator=CounterGenerator.seeded("s"),
        noise_generator=CounterGenerator.seeded("n"),
        user_of=user_of,
    )
    return -model.weight.detach().flatten()


def test_a_whole_user_moves_the_sum_by_at_most_the_clipping_norm() -> None:
    """Examples drawn one by one move it by their number times that; a user drawn, by one."""
    inputs = torch.tensor([[1.0, 0.0], [4.0, 0.0], [5.0, 0.0], [0.0, 2.0]]).double()
    user_of = ["zoe", "zoe", "zoe", "ben"]
    as_users = moved(inputs, user_of) - moved(inputs[3:], user_of[3:])
    assert 0.99 < as_users.norm() <= 1
    one_by_one = {"sampled": "example", "examples_per_user": 3}
    as_examples = moved(inputs, user_of, **one_by_one) - moved(
        inputs[3:], user_of[3:], **one_by_one
    )
    assert 2.97 < as_examples.norm() <= 3


def test_users_are_drawn_and_not_examples() -> None:
    """All of a user's examples come together or not at all, at the rate of users."""
    inputs = torch.ones(40, 1).double()
    user_of = [str(index // 4) for index in range(40)]
    model, loss_of = linear(inputs)
    seen: list[list[int]] = []
    records: list[StepRecord] = []

    def watched(drawn: Sequence[int]) -> torch.Tensor:
        seen.append(list(drawn))
        return loss_of(drawn)  # type: ignore[operator, no-any-return]

    fit_private(
        model,
        watched,
        num_examples=40,
        plan=settings(sample_rate=0.3, examples_per_user=4),
        steps=100,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        sampling_generator=CounterGenerator.seeded("s"),
        noise_generator=CounterGenerator.seeded("n"),
        user_of=user_of,
        max_physical_batch=8,
        on_step=records.append,
    )
    assert max(map(len, seen)) == 8
    for drawn in seen:
        assert [index for index in drawn if index % 4 == 0] == drawn[::4]
        assert drawn == [index // 4 * 4 + place % 4 for place, index in enumerate(drawn)]
    share = sum(record.batch_size for record in records) / (100 * 10)
    assert abs(share - 0.3) < 5 * math.sqrt(0.21 / 1000)


@pytest.mark.parametrize(
    ("changes", "user_of", "complaint"),
    [
        ({}, None, "name the user of each of 5 examples, got none"),
        ({}, ["zoe"], "got 1"),
        ({"sampled": "example", "examples_per_user": 2}, USERS, "at most 2 examples of one user"),
        ({"unit": "example", "sampled": "example", "examples_per_user": None}, USERS, "no user_of"),
    ],
    ids=["none", "too few", "too many of one", "not the unit"],
)
def test_users_that_do_not_fit_the_plan_are_refused(
    changes: dict[str, object], user_of: list[str] | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        moved(torch.ones(5, 1).double(), user_of, **changes)  # type: ignore[arg-type]
    assert "zoe" not in str(caught.value)


@pytest.mark.parametrize(
    "user_of",
    [torch.zeros(5), [math.nan] * 5, [("zoe",)] * 5, torch.zeros(5).numpy()],
    ids=["tensor", "nan", "tuples", "numpy"],
)
@pytest.mark.parametrize("sampled", ["example", "user"])
def test_users_that_equality_cannot_tell_apart_are_refused(user_of: object, sampled: str) -> None:
    """Elements of a tensor are all different: nobody would have two examples."""
    with pytest.raises(ValueError, match="tolist"):
        moved(torch.ones(5, 1).double(), user_of, sampled=sampled)  # type: ignore[arg-type]


def test_drawing_users_needs_an_engine_that_knows_rows() -> None:
    model, loss_of = linear(torch.ones(5, 1).double())
    with pytest.raises(ValueError, match="'flat' or 'grouped'"):
        fit_private(
            model,
            loss_of,  # type: ignore[arg-type]
            num_examples=5,
            plan=settings(),
            steps=1,
            optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
            sampling_generator=CounterGenerator.seeded("s"),
            noise_generator=CounterGenerator.seeded("n"),
            user_of=USERS,
            engine="opacus",
        )


def test_of_users_the_mean_loss_of_each_is_released() -> None:
    """Whoever has many examples has one voice in the loss as well, clipped as a whole."""
    values = torch.tensor([1.0, 2.0, 3.0, 20.0, 8.0], dtype=torch.float64)
    model, loss_of = linear(torch.ones(5, 1).double())
    records: list[StepRecord] = []
    fit_private(
        model,
        lambda drawn: loss_of(drawn) + values[list(drawn)],  # type: ignore[operator]
        num_examples=5,
        plan=settings(loss_noise=1e-9),
        steps=1,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        sampling_generator=CounterGenerator.seeded("s"),
        noise_generator=CounterGenerator.seeded("n"),
        user_of=USERS,
        on_step=records.append,
    )
    zoe, ben, eve = (1 + 3 + 8) / 3, 2.0, 5.0
    wanted = (zoe + ben + eve) / settings().expected_batch_size
    assert records[0].released_loss == pytest.approx(wanted, abs=1e-5)
