"""The public plan: strict, typed, documented, and the same after a trip through TOML."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.errors import ArtifactCorrupt
from discreet.federated import TrainConfig, describe_fields

POSITIVE = st.floats(min_value=1e-6, max_value=1e6)
PLANS = st.builds(
    TrainConfig,
    base=st.text("abc/_-", min_size=1),
    num_owners=st.integers(2, 9),
    dirichlet_alpha=st.none() | POSITIVE,
    num_rounds=st.integers(1, 99),
    local_steps=st.integers(1, 99),
    target_epsilon=POSITIVE,
    delta=st.floats(min_value=1e-12, max_value=0.009),
    sample_rate=st.floats(min_value=1e-6, max_value=1.0),
    learning_rate=POSITIVE,
    reproducible=st.booleans(),
)


@given(plan=PLANS)
def test_a_plan_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory, plan: TrainConfig
) -> None:
    path = tmp_path_factory.mktemp("plan") / "config.toml"
    plan.save(path)
    assert TrainConfig.load(path) == plan


@given(plan=PLANS)
def test_steps_total_is_what_noise_is_calibrated_for(plan: TrainConfig) -> None:
    assert plan.steps_total == plan.num_rounds * plan.local_steps


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("num_round", "Did you mean num_rounds"),
        ("epsilon", "Did you mean target_epsilon?"),
        ("Lora_r", "lora_r"),
        ("disable_dp", "`discreet fields` tells all of them"),
    ],
)
def test_an_unknown_key_is_an_error_that_says_what_may_be_meant(word: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"got {word}") as raised:
        TrainConfig.from_mapping({word: 1.0, "seed": 3})
    assert meant in str(raised.value)


def test_an_unknown_word_is_an_error_that_says_the_choices() -> None:
    with pytest.raises(
        ValueError, match="one of example, user, owner, got unit='owners'"
    ) as raised:
        TrainConfig(unit="owners")
    assert str(raised.value).endswith("Did you mean owner?")


def test_a_whole_number_serves_as_a_float() -> None:
    plan = TrainConfig.from_mapping({"target_epsilon": 3, "dirichlet_alpha": 1})
    assert (plan.target_epsilon, plan.dirichlet_alpha) == (3.0, 1.0)
    assert isinstance(plan.target_epsilon, float)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("num_owners", "4", "num_owners of type int"),
        ("num_owners", 4.0, "num_owners of type int"),
        ("num_owners", True, "num_owners of type int"),
        ("delta", "1e-5", "delta of type float"),
        ("dirichlet_alpha", "even", "dirichlet_alpha of type float or nothing"),
        ("base", 3, "base of type str"),
        ("base", "", "a base model"),
        ("reproducible", 1, "reproducible of type bool"),
        ("num_owners", 0, "num_owners >= 1"),
        ("num_rounds", 0, "num_rounds >= 1"),
        ("local_steps", -1, "local_steps >= 1"),
        ("expected_batch_size", 0, "expected_batch_size >= 1"),
        ("max_physical_batch", 0, "max_physical_batch >= 1"),
        ("lora_r", 0, "lora_r >= 1"),
        ("lora_alpha", 0, "lora_alpha >= 1"),
        ("lora_layers", 0, "lora_layers >= 1"),
        ("lora_modules", "", "names of weights"),
        ("lora_modules", "q_proj,", "names of weights"),
        ("lora_modules", "q_proj;.*", "names of weights"),
        ("target_epsilon", 0.0, "target_epsilon > 0"),
        ("target_epsilon", float("inf"), "target_epsilon > 0"),
        ("target_epsilon", float("nan"), "target_epsilon > 0"),
        ("max_grad_norm", -1.0, "max_grad_norm > 0"),
        ("learning_rate", 0.0, "learning_rate > 0"),
        ("round_timeout_seconds", 0.0, "round_timeout_seconds > 0"),
        ("node_wait_seconds", 0.0, "node_wait_seconds > 0"),
        ("sample_rate", 1.5, "0 < sample_rate <= 1"),
        ("sample_rate", 0.0, "0 < sample_rate <= 1"),
        ("delta", 0.5, "0 < delta < 0.01, got delta=0.5"),
        ("delta", 0.01, "0 < delta < 0.01"),
        ("delta", 0.0, "0 < delta < 0.01"),
        ("min_replies", 5, "1 <= min_replies <= the 4 owners asked in a round"),
        ("min_replies", 0, "1 <= min_replies <= the 4 owners asked in a round"),
        ("owners_per_round", 0, "owners_per_round from 1 to num_owners (4)"),
        ("owners_per_round", 5, "owners_per_round from 1 to num_owners (4)"),
        ("absent_owners", "", "different numbers of fewer than all owners, from 0 to 3"),
        ("absent_owners", "1,1", "different numbers of fewer than all owners, from 0 to 3"),
        ("absent_owners", "4", "different numbers of fewer than all owners, from 0 to 3"),
        ("absent_owners", "clinic", "different numbers of fewer than all owners, from 0 to 3"),
        ("absent_owners", "0,1,2,3", "different numbers of fewer than all owners, from 0 to 3"),
        ("hostile_owners", -1, "hostile_owners from 0 to below half of 4"),
        ("hostile_owners", 2, "hostile_owners from 0 to below half of 4"),
        ("lora_ranks", "4,9", "whole ranks from 1 to lora_r (8)"),
        ("lora_ranks", "4,,8", "whole ranks from 1 to lora_r (8)"),
        ("lora_ranks", "0", "whole ranks from 1 to lora_r (8)"),
        ("lora_ranks", "four", "whole ranks from 1 to lora_r (8)"),
        ("server_learning_rate", 0.0, "server_learning_rate > 0"),
        ("server_momentum", 1.0, "server_momentum from 0 to below 1"),
        ("topk_share", 0.0, "topk_share > 0"),
        ("topk_share", 1.5, "topk_share at most 1"),
        ("proximal_mu", 0.1, "proximal_mu > 0 with local_rule = 'prox', and 0 without"),
        ("max_update_norm", 0.0, "a finite max_update_norm > 0"),
        ("max_update_norm", float("nan"), "a finite max_update_norm > 0"),
        ("secagg_timeout_seconds", 0.0, "secagg_timeout_seconds > 0"),
        ("aggregation", "sum", "aggregation to be one of fedit, ffa, rolora"),
        ("combine", "mode", "combine to be one of mean, median"),
        ("server_optimizer", "sgd", "server_optimizer to be one of none, momentum, adam"),
        ("local_rule", "ditto", "local_rule to be one of sgd, prox, scaffold"),
        ("wire", "zip", "wire to be one of float32"),
        ("wire_down", "topk", "wire_down to be one of float32"),
        ("dirichlet_alpha", 0.0, "dirichlet_alpha > 0"),
        ("dirichlet_alpha", float("inf"), "dirichlet_alpha > 0"),
        ("seed", -1, "seed >= 0"),
        ("seed", 2**64, "below 2**63"),
        ("num_rounds", 10**8, "at most 1000000"),
        ("local_steps", 600_000, "num_rounds x local_steps"),
        ("lora_r", 10**9, "at most 4096"),
        ("dirichlet_alpha", 1e308, "at most 1000000"),
    ],
)
def test_wrong_values_say_what_was_expected_and_got(key: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match="^Expected ") as raised:
        TrainConfig.from_mapping({key: value})
    assert expected in str(raised.value)
    assert f"got {key}={value!r}" in str(raised.value)


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="finite target_epsilon"):
        TrainConfig.from_mapping({"target_epsilon": 10**400})


def test_every_field_has_a_help_text() -> None:
    found = describe_fields()
    assert list(found) == [field.name for field in fields(TrainConfig)]
    meanings = [field.meaning for field in found.values()]
    assert all(len(text) > 20 and "\n" not in text for text in meanings)


def test_fields_say_what_the_plan_checks() -> None:
    """Every default and every choice that is told makes no error of its own."""
    for name, field in describe_fields().items():
        assert field.default == getattr(TrainConfig(), name)
        with pytest.raises(ValueError, match=f"of type {field.kind}, got {name}="):
            TrainConfig.from_mapping({name: []})
        assert not any("to be one of" in error_of(name, choice) for choice in field.choices)


def error_of(name: str, value: object) -> str:
    try:
        TrainConfig.from_mapping({name: value})
    except ValueError as error:
        return str(error)
    return ""


def test_a_flower_run_config_may_also_say_where_the_server_writes() -> None:
    assert TrainConfig.from_run_config({"run_folder": "x", "seed": 3}) == TrainConfig(seed=3)
    assert TrainConfig.from_run_config({}) == TrainConfig()
    with pytest.raises(ValueError, match="run-folder"):
        TrainConfig.from_run_config({"run-folder": "x"})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("seed = ")
    with pytest.raises(ArtifactCorrupt, match=r"config\.toml"):
        TrainConfig.load(tmp_path / "config.toml")
