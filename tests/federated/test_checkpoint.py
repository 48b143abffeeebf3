"""Where a run stands comes back bit by bit, or not at all."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load, save, save_file

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt
from discreet.federated import Checkpoint, State, read_checkpoint
from discreet.federated.checkpoint import write_checkpoint

NAMES = st.sampled_from(["a", "q.lora_A.default.weight", "control/a", "state/a", "momentum/a"])
TENSORS = st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(torch.tensor)
STATES = st.dictionaries(NAMES, TENSORS, max_size=3)
FULL = Checkpoint(
    rounds_done=3,
    state={"a": torch.arange(3.0), "control/a": torch.ones(3)},
    plan_sha256="f" * 64,
    optimizer={"momentum/a": torch.full((3,), 0.5)},
    taken_part={1000: 3, 2**63: 1},
    clip_norm=0.1,
)


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@given(
    state=STATES,
    optimizer=STATES,
    taken_part=st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 9), max_size=3),
    clip_norm=st.none() | st.floats(min_value=1e-9, allow_infinity=False, allow_nan=False),
)
def test_a_checkpoint_comes_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory,
    state: State,
    optimizer: State,
    taken_part: dict[int, int],
    clip_norm: float | None,
) -> None:
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "run")
    written = Checkpoint(
        rounds_done=2,
        state=state,
        plan_sha256="0" * 64,
        optimizer=optimizer,
        taken_part=taken_part,
        clip_norm=clip_norm,
    )
    write_checkpoint(run, written)
    found = read_checkpoint(run)
    assert found is not None
    assert same(found.state, state)
    assert same(found.optimizer, optimizer)
    for name in ("rounds_done", "plan_sha256", "taken_part", "clip_norm", "run_token"):
        assert getattr(found, name) == getattr(written, name)


def test_before_the_first_round_there_is_none(run: RunFolder) -> None:
    assert read_checkpoint(run) is None


def test_two_runs_have_two_names() -> None:
    one, other = (Checkpoint(rounds_done=1, state={}) for _ in range(2))
    assert one.run_token != other.run_token


def test_a_tensor_that_is_a_view_can_be_written(run: RunFolder) -> None:
    view = torch.arange(6.0).reshape(2, 3).T
    write_checkpoint(run, Checkpoint(rounds_done=1, state={"a": view}))
    found = read_checkpoint(run)
    assert found is not None
    assert torch.equal(found.state["a"], view)


@pytest.mark.parametrize("cut", [0, 1, 8, 100, -1])
def test_a_file_cut_short_is_named(run: RunFolder, cut: int) -> None:
    write_checkpoint(run, FULL)
    data = run.checkpoint_path.read_bytes()
    run.checkpoint_path.write_bytes(data[:cut])
    with pytest.raises(ArtifactCorrupt, match=r"checkpoint\.safetensors"):
        read_checkpoint(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "1"),
        ("format", None),
        ("rounds_done", None),
        ("rounds_done", "two"),
        ("plan_sha256", None),
        ("run_token", None),
        ("taken_part", "[]"),
        ("taken_part", "{"),
        ("taken_part", '{"x": 1}'),
        ("clip_norm", ""),
    ],
)
def test_another_form_is_named(run: RunFolder, key: str, value: str | None) -> None:
    write_checkpoint(run, FULL)
    with safe_open(run.checkpoint_path, framework="pt") as file:
        metadata = {**file.metadata(), key: value}
    tensors = load(run.checkpoint_path.read_bytes())
    kept = {name: text for name, text in metadata.items() if text is not None}
    run.checkpoint_path.write_bytes(save(tensors, metadata=kept))
    with pytest.raises(ArtifactCorrupt, match="start a new run"):
        read_checkpoint(run)


def test_tensors_without_a_round_are_no_checkpoint(run: RunFolder) -> None:
    save_file({"state/a": torch.zeros(1)}, run.checkpoint_path)
    with pytest.raises(ArtifactCorrupt):
        read_checkpoint(run)


def test_a_write_that_fails_leaves_the_older_checkpoint(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(run, FULL)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(run, Checkpoint(rounds_done=4, state={}))
    found = read_checkpoint(run)
    assert found is not None
    assert found.rounds_done == 3
    assert same(found.state, FULL.state)


def test_what_is_printed_shows_no_weights_and_no_nodes() -> None:
    assert "tensor" not in repr(FULL)
    assert "1000" not in repr(FULL)
