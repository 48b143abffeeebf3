"""What a run has to have to be audited, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from discreet.artifacts import RunFolder, sha256_of_folder
from discreet.audit import Subject, open_subject
from discreet.errors import ArtifactCorrupt, ArtifactError, IncompatibleBase
from discreet.registry import read_card, write_card


@pytest.fixture
def copy(private_run: RunFolder, tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "copy")
    shutil.copytree(private_run.path, run.path)
    return run


def test_a_run_is_opened_with_its_owners_and_what_they_spent(private: Subject) -> None:
    assert private.owners == ["owner-0", "owner-1"]
    assert set(private.spent) == {"owner-0", "owner-1"}
    assert private.worst == max(private.spent.values(), key=lambda s: s.epsilon)  # type: ignore[union-attr]
    assert private.seconds_per_example > 0
    assert private.seconds_of_training > 0


def test_losses_under_the_trained_adapter_are_others_than_under_the_first(
    private: Subject,
) -> None:
    lessons = private.members(private.owners[0])
    first, trained = (private.losses(lessons, s) for s in (private.first, private.state))
    assert len(first) == len(lessons)
    assert not np.allclose(first, trained)
    np.testing.assert_array_equal(trained, private.losses(lessons, private.state))


def test_nobody_who_was_held_out_is_a_member(private: Subject) -> None:
    members = {user for owner in private.owners for user in private.members(owner).users}
    others = set(private.others(private.owners[0]).users)
    assert len(others) > 10
    assert not members & others


def test_what_was_spent_comes_from_the_card_where_there_is_no_ledger(
    copy: RunFolder, private: Subject
) -> None:
    copy.ledger_path.unlink()
    alone = replace(private, adapter=replace(private.adapter, run=copy))
    assert alone.spent == private.adapter.card.per_owner


@pytest.mark.parametrize("name", ["config.toml", "card.json", "adapter/adapter_model.safetensors"])
def test_a_missing_piece_is_named(copy: RunFolder, people: Path, name: str) -> None:
    (copy.path / name).unlink()
    with pytest.raises(ArtifactError) as refused:
        open_subject(str(copy.path), copy.path.parent, data=people)
    assert "Expected" in str(refused.value)


def test_weights_that_are_no_numbers_are_refused(copy: RunFolder, people: Path) -> None:
    path = copy.adapter_dir / "adapter_model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] * float("nan")
    save_file(tensors, path)
    card = replace(read_card(copy), adapter_sha256=sha256_of_folder(copy.adapter_dir))
    write_card(copy, card)
    with pytest.raises((ArtifactCorrupt, ValueError), match="finite|NaN|numbers"):
        open_subject(str(copy.path), copy.path.parent, data=people)


def test_an_adapter_of_another_base_is_refused(copy: RunFolder, people: Path) -> None:
    write_card(copy, replace(read_card(copy), base_sha256="0" * 64))
    with pytest.raises(IncompatibleBase):
        open_subject(str(copy.path), copy.path.parent, data=people)
