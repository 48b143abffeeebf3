"""From the public config to a promise, against the accountant and by hand."""

import math
from dataclasses import replace

import pytest

from discreet.federated import TrainConfig, plan_of
from discreet.federated.plans import loss_limit, promise_of, update_limit
from discreet.privacy import epsilon_of
from federated.tiny import tiny_config

HIDDEN = {"unit": "owner", "sampled": "owner", "max_update_norm": 0.5}
SECURE = {"secure_aggregation": True, "num_owners": 6, "min_replies": 4}
KINDS: dict[str, dict[str, object]] = {
    "example": {},
    "user": {"unit": "user", "examples_per_user": 2},
    "some owners": {"num_owners": 6, "owners_per_round": 2, "num_rounds": 3},
    "owner": {**HIDDEN, "num_owners": 6, "owners_per_round": 2},
    "owner, secure": {**HIDDEN, **SECURE},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_reaches_its_target_and_no_more(kind: str) -> None:
    config = tiny_config(**KINDS[kind])
    plan = plan_of(config)
    spent = epsilon_of([plan], plan.delta, plan.accountant)
    assert 0.98 * config.target_epsilon < spent <= config.target_epsilon


def test_a_step_is_counted_for_each_round_that_an_owner_may_be_asked() -> None:
    config = tiny_config(num_owners=6, owners_per_round=2, num_rounds=4, local_steps=5)
    assert config.rounds_per_owner == 2, "8 places in 4 rounds, for 6 owners"
    assert plan_of(config).steps == 10
    assert plan_of(replace(config, owners_per_round=None)).steps == 20


def test_where_the_server_hides_owners_a_step_is_a_round_and_the_coin_its_rate() -> None:
    plan = plan_of(tiny_config(**KINDS["owner"], num_rounds=3))
    assert (plan.unit, plan.neighbouring_relation) == ("owner", "add_or_remove_one")
    assert (plan.steps, plan.sample_rate, plan.expected_batch_size) == (3, 1 / 3, 2)
    assert plan.max_grad_norm == 0.5


def test_noise_of_the_owners_has_no_help_from_chance() -> None:
    """The server knows whom it asked."""
    config = tiny_config(**KINDS["owner, secure"], owners_per_round=5, num_rounds=3)
    plan = plan_of(config)
    assert (plan.accountant, plan.neighbouring_relation) == ("rdp", "zero_out_one")
    assert (plan.steps, plan.sample_rate, plan.expected_batch_size) == (3, 1.0, 5)
    central = replace(config, secure_aggregation=False)
    assert plan.noise_multiplier > plan_of(central).noise_multiplier


@pytest.mark.parametrize("kind", KINDS)
def test_a_promise_is_the_target_where_owners_keep_accounts(kind: str) -> None:
    config = tiny_config(**KINDS[kind])
    promise = promise_of(config)
    if kind == "owner":
        assert promise is None
        return
    assert promise is not None
    assert (promise.epsilon, promise.delta) == (config.target_epsilon, config.delta)
    assert promise.unit == config.unit
    assert promise.neighbouring_relation == plan_of(config).neighbouring_relation


def test_the_limit_is_four_times_what_steps_of_sgd_can_move() -> None:
    config = tiny_config(local_steps=3, learning_rate=0.1)
    noise = plan_of(config).noise_multiplier * 1.0 * math.sqrt(25) / 10
    assert update_limit(config, 25) == pytest.approx(4 * 3 * 0.1 * (1.0 + noise))


def test_a_step_of_adam_moves_each_number_by_about_the_rate() -> None:
    config = tiny_config(local_steps=3, learning_rate=0.1, optimizer="adam")
    assert update_limit(config, 25) == pytest.approx(4 * 3 * 0.1 * 5)


@pytest.mark.parametrize(
    ("changes", "least"),
    [({"local_rule": "scaffold"}, 2.0), ({"clip_quantile": 0.5, "clip_count_noise": 2.0}, 1.5)],
)
def test_what_lets_owners_move_further_raises_the_limit(
    changes: dict[str, object], least: float
) -> None:
    assert update_limit(tiny_config(**changes), 25) > least * update_limit(tiny_config(), 25)


def test_a_norm_in_the_plan_is_the_limit_unless_updates_are_clipped_to_it() -> None:
    assert update_limit(tiny_config(max_update_norm=0.25), 25) == 0.25
    assert update_limit(tiny_config(**HIDDEN), 25) == math.inf


def test_a_plan_is_made_once() -> None:
    assert plan_of(TrainConfig()) is plan_of(TrainConfig())


def test_losses_are_paid_for_by_the_gradients_and_not_by_epsilon() -> None:
    silent, told = plan_of(tiny_config()), plan_of(tiny_config(loss_noise=30.0, loss_clip=2.0))
    assert (told.loss_noise, told.loss_clip) == (30.0, 2.0)
    assert told.noise_multiplier == silent.noise_multiplier
    assert told.epsilon == silent.epsilon
    assert told.gradient_noise_multiplier > silent.gradient_noise_multiplier


def test_an_honest_loss_is_within_the_limit_by_eight_standard_deviations() -> None:
    config = tiny_config(loss_noise=30.0, loss_clip=2.0)
    deviation = 30.0 * 2.0 / config.expected_batch_size
    assert loss_limit(config) == pytest.approx(4 * 2.0 + 8 * deviation)
    assert loss_limit(tiny_config()) is None


def test_a_loss_of_the_default_plan_costs_what_the_documents_say() -> None:
    """The numbers of docs/federation.md; a released loss is a mean over owners and local steps."""
    config = TrainConfig(loss_noise=2.0)
    plan = plan_of(config)
    assert plan.gradient_noise_multiplier / plan.noise_multiplier == pytest.approx(1.02, abs=0.005)
    deviation = 2.0 * config.loss_clip / config.expected_batch_size
    averaged = math.sqrt(config.num_owners * config.local_steps)
    assert deviation / averaged == pytest.approx(0.12, abs=0.005)


def test_spare_rounds_are_paid_for_beforehand() -> None:
    plain, spare = (plan_of(tiny_config(spare_rounds=count)) for count in (0, 2))
    assert spare.steps == 2 * plain.steps
    assert spare.noise_multiplier > plain.noise_multiplier
    assert spare.epsilon <= spare.target_epsilon
