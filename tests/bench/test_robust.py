"""A backdoor is measured as it is defined, and hostile owners send what they are said to send."""

import pytest
import torch
from torch import nn

from discreet.bench import ATTACK_SETTINGS, RobustCell, as_robust_table, measure_robustness
from discreet.bench.robust import (
    CLASSES,
    FEATURES,
    OWNERS,
    TARGET,
    Attack,
    HostileTask,
    RobustSetting,
    World,
    _accuracy,
    _attack_success,
    _with_trigger,
    honest_task,
)
from discreet.federated import update_limit


class Says(nn.Module):
    """The target where the trigger is, else one class."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found = torch.where(inputs[:, -1] > 3, TARGET, 1)
        return nn.functional.one_hot(found, CLASSES).float()


def setting(attack: Attack | None, hostile: int = 1, combine: str = "mean") -> RobustSetting:
    return RobustSetting(protection="examples", combine=combine, hostile=hostile, attack=attack)


def test_attack_success_counts_examples_of_other_classes_and_accuracy_all_without_trigger() -> None:
    held_out = World.drawn(0).held_out
    assert _attack_success(Says(), held_out) == 1
    assert _accuracy(Says(), held_out) == pytest.approx(
        float((held_out.targets == 1).float().mean())
    )


def test_every_other_example_gets_the_trigger_and_no_honest_one_is_changed() -> None:
    own = World.drawn(0).owned["owner-0"]
    before = own.inputs.clone()
    poisoned = _with_trigger(own)
    assert torch.equal(own.inputs, before)
    changed = (poisoned.inputs != before).any(1)
    assert changed.tolist() == [index % 2 == 0 for index in range(len(before))]
    assert set(poisoned.targets[changed].tolist()) == {TARGET}


@pytest.mark.parametrize("attack", ["boosted", "stealthy", "unscaled"])
def test_a_hostile_owner_scales_what_it_learnt(attack: Attack) -> None:
    config = setting(attack).plan(0)
    honest = honest_task(config, World.drawn(0), 0)
    state = honest.initial_state()
    owner = next(iter(honest.owned))

    def length(how: Attack) -> float:
        sent = HostileTask(honest, frozenset({owner}), how)._backdoored(state, owner)
        return float(torch.cat([(sent[n] - state[n]).flatten() for n in state]).norm())

    limit = update_limit(config, sum(value.numel() for value in state.values()))
    plain = length("unscaled")
    wanted = {"unscaled": plain, "boosted": OWNERS * plain, "stealthy": 0.99 * limit}
    assert length(attack) == pytest.approx(wanted[attack], rel=1e-4)
    assert plain < limit < OWNERS * plain


def test_everybody_is_compared_with_a_run_without_hostile_owners() -> None:
    quiet = [each for each in ATTACK_SETTINGS if each.attack is None]
    plans = {(each.protection, each.combine) for each in ATTACK_SETTINGS}
    assert {(each.protection, each.combine) for each in quiet} == plans
    assert all((each.hostile == 0) == (each.attack is None) for each in ATTACK_SETTINGS)


def test_a_backdoor_within_the_norm_gets_through_the_mean_and_not_through_multi_krum() -> None:
    told: list[str] = []
    settings = [setting("stealthy"), setting("stealthy", combine="multi_krum")]
    mean, krum = measure_robustness([0], settings=settings, on_run=told.append)
    assert told == ["mean", "multi_krum"]
    assert mean.attack_success[0] > 0.8 > 0.2 > krum.attack_success[0]
    assert min(*mean.accuracy, *krum.accuracy) > 0.8


def test_the_table_says_mean_range_and_accuracy() -> None:
    none = RobustCell(setting=setting(None, 0), attack_success=(0.0, 0.1), accuracy=(0.9, 0.8))
    one = RobustCell(setting=setting("boosted"), attack_success=(0.5, 1.0), accuracy=(0.9, 0.9))
    table = as_robust_table([none, one]).splitlines()
    assert table[0] == "| hidden | combine | none hostile | 1 boosted |"
    assert table[2] == "| examples | mean | 5 (0 to 10) / 85 | 75 (50 to 100) / 90 |"


def test_the_trigger_is_a_feature_that_honest_owners_also_have() -> None:
    inputs = World.drawn(0).held_out.inputs
    assert inputs.shape[1] == FEATURES + 1
    assert 0.4 < float(inputs[:, -1].std()) < 0.6
