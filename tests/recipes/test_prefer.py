"""Preferences are learnt from public pairs, on top of the tuning, and both are in one file."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from discreet.data import FAULTS, preference_pairs
from discreet.model import (
    Comparisons,
    LoraSpec,
    Vlm,
    adapter_parameters,
    attach_lora,
    base_of,
    join_tunings,
    load,
    tuning_state,
)
from discreet.model.small import add_tuning
from discreet.recipes.instruct import LINEAR_LAYERS
from discreet.recipes.prefer import (
    PreferSettings,
    compare,
    draw_pairs,
    log_probs_of,
    score_pairs,
    teach_preferences,
)

QUICK = PreferSettings(
    base="tiny", epochs=6, batch_size=4, public=24, held_out=24, learning_rate=3e-3, rank=4
)


class Language:
    """The language model of `tiny` as `small` adds a tuning to it."""

    def __init__(self, vlm: Vlm) -> None:
        self.model = base_of(vlm).model.language_model


def adapted(seed: int, vlm: Vlm) -> Vlm:
    """Return a model with an adapter that says something of its own, in numbers float16 holds."""
    spec = LoraSpec(r=2 + seed, layers=99, target_modules=LINEAR_LAYERS, freeze_a=False)
    vlm = attach_lora(vlm, spec)
    draw = torch.Generator().manual_seed(seed)
    for parameter in adapter_parameters(vlm).values():
        parameter.data = (0.2 * torch.randn(parameter.shape, generator=draw)).half().float()
    return vlm


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prefer") / "preferences.safetensors"
    teach_preferences(out, settings=QUICK)
    return out


def test_accuracy_on_held_out_pairs_rises_and_the_card_says_how(taught: Path) -> None:
    card = json.loads(taught.with_suffix(".json").read_text())
    before, after = card["held_out"]["before"], card["held_out"]["after"]
    assert before["all"] == {"pairs": 24, "accuracy": 0.5, "loss": round(math.log(2), 4)}
    assert after["all"]["accuracy"] >= 0.65
    assert after["all"]["loss"] < before["all"]["loss"] - 0.01
    by_fault = {name: scores for name, scores in after.items() if name != "all"}
    assert set(by_fault) <= set(FAULTS)
    assert sum(scores["pairs"] for scores in by_fault.values()) == 24
    assert (card["settings"]["seed"], card["steps"], card["public_pairs"]) == (0, 36, 24)
    assert len(card["curve"]) == 4
    assert "commit" in card
    assert not taught.with_suffix(".checkpoint").exists()


def test_the_file_alone_says_what_the_card_says(taught: Path) -> None:
    vlm = load("tiny")
    pairs = draw_pairs("held_out", QUICK.held_out, QUICK.seed)
    base = log_probs_of(compare(vlm, pairs, beta=0.1), compare(vlm, pairs, beta=0.1).log_probs)
    add_tuning(Language(vlm), taught)
    after = log_probs_of(compare(vlm, pairs, beta=0.1), compare(vlm, pairs, beta=0.1).log_probs)
    scores = score_pairs(after, base, [pair.fault for pair in pairs], beta=0.1)
    card = json.loads(taught.with_suffix(".json").read_text())
    assert scores["all"]["loss"] == pytest.approx(
        card["held_out"]["after"]["all"]["loss"], abs=2e-3
    )


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(taught: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 25:
            raise Stopped

    out = tmp_path / "again.safetensors"
    with pytest.raises(Stopped):
        teach_preferences(out, settings=QUICK, on_step=stop)
    assert not out.exists()
    teach_preferences(out, settings=QUICK)
    first, again = load_file(taught), load_file(out)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_public_pairs_are_learnt_from_and_held_out_ones_are_scored() -> None:
    public, held_out = (draw_pairs(part, 10_000, 0) for part in ("public", "held_out"))
    assert {pair.part for pair in public} == {"public"}
    assert {pair.part for pair in held_out} == {"held_out"}
    assert not {pair.question for pair in public} & {pair.question for pair in held_out}
    assert sorted(p.id for p in public) == sorted(p.id for p in preference_pairs(part="public"))
    assert draw_pairs("public", 5, 0) == public[:5]


def test_joined_tunings_add_up(tiny: Vlm, tmp_path: Path) -> None:
    """Two routes: both products added to the weights, and the joined file added once."""
    first, second = (tuning_state(adapted(seed, load("tiny"))) for seed in (0, 1))
    left_out = next(name for name in second if name.endswith(".A")).removesuffix(".A")
    second = {name: v for name, v in second.items() if not name.startswith(left_out)}
    one_by_one, at_once = load("tiny"), load("tiny")
    for number, state in enumerate((first, second)):
        save_file(state, tmp_path / f"{number}.safetensors")
        add_tuning(Language(one_by_one), tmp_path / f"{number}.safetensors")
    save_file(join_tunings(first, second), tmp_path / "both.safetensors")
    add_tuning(Language(at_once), tmp_path / "both.safetensors")
    wanted, found = one_by_one.model.state_dict(), at_once.model.state_dict()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0)
    plain = tiny.model.state_dict()
    assert sum(not torch.equal(plain[name], value) for name, value in found.items()) == 14


def test_scores_are_counted_by_hand() -> None:
    mine = torch.tensor([[-10.0, -20.0], [-10.0, -10.0], [-30.0, -10.0], [-5.0, -25.0]])
    base = torch.tensor([[-20.0, -20.0], [-10.0, -10.0], [-10.0, -10.0], [-25.0, -25.0]])
    scores = score_pairs(
        mine, base, ["diagnosis", "diagnosis", "elderspeak", "elderspeak"], beta=0.1
    )
    assert scores["all"]["accuracy"] == (1 + 0.5 + 0 + 1) / 4
    assert scores["diagnosis"] == {
        "pairs": 2,
        "accuracy": 0.75,
        "loss": round((math.log1p(math.exp(-1)) + math.log(2)) / 2, 4),
    }
    assert scores["elderspeak"]["loss"] == round(
        (math.log1p(math.exp(2)) + math.log1p(math.exp(-2))) / 2, 4
    )


def test_scores_do_not_depend_on_how_many_are_scored_at_a_time(tiny: Vlm) -> None:
    vlm = adapted(1, tiny)
    pairs: Comparisons = compare(vlm, draw_pairs("held_out", 6, 0), beta=0.1)
    together = pairs.log_probs(range(6)).detach()
    torch.testing.assert_close(log_probs_of(pairs, pairs.log_probs), together, atol=1e-2, rtol=1e-5)


def test_the_base_that_settings_name_is_the_one_that_learns(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = json.loads(taught.with_suffix(".json").read_text())
    assert card["base_sha256"] == load("tiny").base_hash
    asked: list[str] = []

    class Asked(Exception):
        pass

    def ask(base: str, **settings: object) -> Vlm:
        asked.append(base)
        raise Asked

    monkeypatch.setattr("discreet.recipes.prefer.load", ask)
    for settings in (PreferSettings(), replace(PreferSettings(), base="tiny"), None):
        with pytest.raises(Asked):
            teach_preferences(tmp_path / "x.safetensors", settings=settings)
    assert asked == ["small", "tiny", "small"]
