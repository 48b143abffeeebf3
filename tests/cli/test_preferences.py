"""Preferences from the command line: the public stage, and private training on pairs."""

import json
from pathlib import Path

from cli.conftest import Run
from discreet.federated import PREFERENCES, TrainConfig
from discreet.registry import resolve

TRIAL = """
base = "tiny"
num_owners = 2
num_rounds = 1
local_steps = 1
sample_rate = 0.005
expected_batch_size = 3
lora_layers = 1
"""


def test_train_learns_preferences_and_names_what_an_example_is(
    discreet: Run, tmp_path: Path
) -> None:
    plan, out = tmp_path / "plan.toml", tmp_path / "run"
    plan.write_text(TRIAL)
    words = ("train", plan, "--objective", "preferences", "--epsilon", 8)
    status, _, said = discreet(*words, "--out", out)
    assert status == 0, said
    assert "An example is one preference pair." in " ".join(said.split())
    saved = TrainConfig.load(out / "config.toml")
    assert (saved.objective, saved.examples) == ("preferences", "preference_pairs")
    assert (saved.sample_rate, saved.expected_batch_size) == (0.005, 3)
    card = resolve("run", tmp_path).card
    assert card.examples == "preference_pairs"
    status, shown, _ = discreet("adapters", "show", out, "--json")
    assert "preference_pairs" in shown
    status, _, said = discreet("train", "--resume", out, "--objective", "answers")
    assert status != 0
    assert "--objective" in said


def test_without_a_plan_the_batch_is_that_of_the_pairs(discreet: Run, tmp_path: Path) -> None:
    words = ("train", "--objective", "preferences", "--base", "tiny", "--rounds", 1, "--steps", 1)
    status, _, said = discreet(*words, "--owners", 40, "--out", tmp_path / "run")
    assert status == 0, said
    saved = TrainConfig.load(tmp_path / "run" / "config.toml")
    assert saved.sample_rate == PREFERENCES["sample_rate"]
    assert saved.expected_batch_size == PREFERENCES["expected_batch_size"]


def test_an_objective_that_does_not_exist_or_has_no_data_is_refused(
    discreet: Run, tmp_path: Path, portraits_file: Path
) -> None:
    status, _, said = discreet("train", "--objective", "magic", "--out", tmp_path / "a")
    assert status != 0
    assert "answers, preferences" in " ".join(said.split())
    words = ("train", "--objective", "preferences", "--base", "tiny", "--data", portraits_file)
    status, _, said = discreet(*words, "--out", tmp_path / "b")
    assert status != 0
    assert "need no data" in " ".join(said.split())


def test_recipe_prefer_writes_a_tuning_and_shows_scores_by_fault(
    discreet: Run, tmp_path: Path
) -> None:
    config, out = tmp_path / "prefer.toml", tmp_path / "preferences.safetensors"
    config.write_text('base = "tiny"\nepochs = 1\npublic = 8\nheld_out = 8\nbatch_size = 4\n')
    status, shown, said = discreet("recipe", "prefer", "--config", config, "--out", out)
    assert status == 0, said
    assert json.loads(shown)["before"]["all"]["accuracy"] == 0.5
    assert out.is_file()
    assert json.loads(out.with_suffix(".json").read_text())["steps"] == 2
    config.write_text("beta = 1\npairs = 3\n")
    status, _, said = discreet("recipe", "prefer", "--config", config, "--out", out)
    assert status != 0
    assert "pairs" in said
