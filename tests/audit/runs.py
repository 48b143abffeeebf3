"""Runs on a tiny base that audits are asked of: one private, one that learnt by heart."""

from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from discreet.artifacts import RunFolder
from discreet.bench import shelve_baseline
from discreet.federated import (
    AssistantTask,
    RoundReport,
    State,
    TrainConfig,
    keep_updates,
    publish,
    run_federation,
)
from tests.model.folders import save_member

PLAN = TrainConfig(
    num_owners=2,
    num_rounds=2,
    local_steps=2,
    sample_rate=0.25,
    expected_batch_size=10,
    target_epsilon=4.0,
    max_grad_norm=1.0,
    lora_r=8,
    lora_alpha=16,
    lora_layers=2,
    lora_modules="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    learning_rate=0.1,
    max_physical_batch=32,
    canaries=40,
)
"""Private: epsilon 4 at delta 1e-5 for one example."""


def sharp_base(folder: Path) -> Path:
    """Return a tiny random base whose adapter can learn by heart.

    The words of the usual tiny one are so short vectors that no adapter makes any of them likely.
    """
    save_member("llava", folder, is_wide=True)
    weights = load_file(folder / "model.safetensors")
    longer = {
        name: value * 30 if "lm_head" in name or "embed_tokens" in name else value
        for name, value in weights.items()
    }
    save_file(longer, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def train_privately(folder: Path, base: Path, data: Path) -> RunFolder:
    """Return a finished run with its adapter and its owners' updates."""
    plan = replace(PLAN, base=str(base))
    run, task = RunFolder.create(folder), AssistantTask.build(plan, shared_data=data)

    def publish_round(done: int, state: State, report: RoundReport) -> None:
        publish(run, task, state, rounds_done=done)

    run_federation(plan, run, task, on_round=publish_round, on_update=keep_updates(run))
    return run


def train_by_heart(folder: Path, base: Path, data: Path, *, steps: int = 40) -> RunFolder:
    """Return a run of the plain trainer: no clipping, no noise, many steps on few examples."""
    plan = replace(
        PLAN,
        base=str(base),
        num_rounds=1,
        local_steps=steps,
        canaries=0,
    )
    run = RunFolder.create(folder)
    shelve_baseline(AssistantTask.build(plan, shared_data=data), run)
    return run
