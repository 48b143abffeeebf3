"""A round that is asked again starts from where it started, and a damaged file is not used."""

import doctest
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from discreet.errors import ArtifactCorrupt, ArtifactError
from discreet.federated import memory as memory_file
from discreet.federated.memory import OwnerMemory
from discreet.federated.messages import State


def state(value: float) -> State:
    return {"residual/w": torch.full((2, 3), value), "control/w": torch.tensor(value)}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture
def memory(tmp_path: Path) -> OwnerMemory:
    return OwnerMemory(tmp_path / "owner" / "memory.safetensors", run="r")


def test_nothing_is_there_before_the_first_round(memory: OwnerMemory) -> None:
    assert memory.recall(1) == {}
    assert not memory.path.exists()


def test_every_round_starts_from_what_the_one_before_left(memory: OwnerMemory) -> None:
    for server_round in range(1, 5):
        before = memory.recall(server_round)
        assert same(before, state(server_round - 1) if server_round > 1 else {})
        memory.keep(server_round, before=before, after=state(server_round))


def test_a_round_that_is_asked_again_starts_from_the_same(memory: OwnerMemory) -> None:
    """However often: a node that fell out after it kept its memory would else count twice."""
    memory.keep(1, before={}, after=state(1))
    for attempt in (10, 20, 30):
        before = memory.recall(2)
        assert same(before, state(1))
        memory.keep(2, before=before, after=state(attempt))
    assert same(memory.recall(3), state(30))


def test_rounds_without_this_owner_change_nothing(memory: OwnerMemory) -> None:
    memory.keep(2, before=state(1), after=state(2))
    assert same(memory.recall(7), state(2))


def test_a_round_whose_start_is_gone_is_refused(memory: OwnerMemory) -> None:
    memory.keep(3, before=state(2), after=state(3))
    with pytest.raises(ArtifactError, match="Expected round 3 or a later one"):
        memory.recall(2)


def test_the_file_is_the_owners_alone(memory: OwnerMemory) -> None:
    memory.keep(1, before={}, after=state(1))
    assert os.stat(memory.path).st_mode & 0o077 == 0


def test_every_byte_that_is_changed_is_noticed_or_changes_nothing(memory: OwnerMemory) -> None:
    memory.keep(2, before=state(1), after=state(2))
    data = memory.path.read_bytes()
    refused = 0
    for place in range(len(data)):
        memory.path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            found = memory.recall(2)
        except ArtifactCorrupt:
            refused += 1
        else:  # a space of the header
            assert same(found, state(1))
    assert refused > 0.9 * len(data)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_file_that_was_cut_off_is_refused(memory: OwnerMemory, kept: int) -> None:
    memory.keep(1, before={}, after=state(1))
    memory.path.write_bytes(memory.path.read_bytes()[:kept])
    with pytest.raises(ArtifactCorrupt, match="remove it to go on without"):
        memory.recall(2)


def test_another_file_of_the_same_format_is_refused(memory: OwnerMemory) -> None:
    memory.keep(1, before={}, after=state(1))
    save_file(load_file(memory.path), memory.path)
    with pytest.raises(ArtifactCorrupt):
        memory.recall(2)


def test_a_write_that_fails_leaves_the_older_memory(
    memory: OwnerMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.keep(1, before={}, after=state(1))

    def full(handle: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        memory.keep(2, before=state(1), after=state(2))
    assert same(memory.recall(2), state(1))
    assert [path.name for path in memory.path.parent.iterdir()] == [memory.path.name]


def test_the_example_in_the_docstring_runs() -> None:
    outcome = doctest.testmod(memory_file)
    assert outcome.attempted > 0
    assert outcome.failed == 0
