"""Whoever is in an update is found in it, unless noise hides them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from discreet.artifacts import RunFolder
from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.pools import members_and_others
from discreet.audit.updates import gradients_of, starts_of
from discreet.evidence import as_record, evidence_of
from discreet.federated import canaries_of, kept_updates
from discreet.model import load_adapter_state

AUDIT = AUDITS["updates"]


@pytest.fixture(scope="module")
def in_the_clear(private: Subject, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The private run, with updates that are clipped steps of all members, without noise."""
    path = tmp_path_factory.mktemp("clear") / "run"
    shutil.copytree(private.run.path, path)
    shutil.rmtree(path / "updates")
    names = sorted(private.first)
    for place, owner in enumerate(private.owners):
        members, _ = members_and_others(private, owner, most=1000, seed=0)
        gradients = gradients_of(private, members, private.first, names)
        step = -(gradients / np.linalg.norm(gradients, axis=1, keepdims=True)).sum(0)  # clipped
        sizes = [private.first[name].numel() for name in names]
        parts = torch.from_numpy(step).float().split(sizes)
        update = {
            name: part.reshape(private.first[name].shape).contiguous()
            for name, part in zip(names, parts, strict=True)
        }
        folder = path / "updates" / "1"
        folder.mkdir(parents=True, exist_ok=True)
        save_file(update, folder / f"{1000 + place}.safetensors")
    return replace(private, adapter=replace(private.adapter, run=RunFolder(path)))


def test_members_of_a_step_without_noise_are_found(in_the_clear: Subject) -> None:
    found = ask(AUDIT, in_the_clear, Asking(effort="usual"))
    assert found.values["rounds"] == 1, "these updates do not add up to the adapter"
    areas = {name: one["auc"] for name, one in found.values["attacks"].items()}
    assert areas["cosine beside what all share"] > 0.95
    assert "Members can be told" in found.verdict
    assert evidence_of(as_record(found)) == found


def test_noise_hides_members(private: Subject) -> None:
    found = ask(AUDIT, private, Asking(effort="quick"))
    assert found.values["rounds"] == 2, "the mean of both rounds ends at the adapter"
    assert all(one["low"] < 0.6 for one in found.values["attacks"].values())
    assert any("the best test of one example" in said for said in found.says)
    assert not any("broken" in said for said in found.says)


def test_starts_are_those_of_training(private: Subject) -> None:
    kept = kept_updates(private.run)
    starts = starts_of(private, kept)
    assert list(starts) == [1, 2]
    assert all(torch.equal(starts[1][name], private.first[name]) for name in private.first)
    last = {
        name: starts[2][name] + torch.stack([u[name] for u in kept[2].values()]).mean(0)
        for name in private.state
    }
    assert all(torch.allclose(last[name], private.state[name], atol=1e-5) for name in last)


def test_a_gradient_is_what_the_loss_changes_by(private: Subject) -> None:
    members, _ = members_and_others(private, private.owners[0], most=2, seed=0)
    names = sorted(private.state)
    gradient = gradients_of(private, members, private.state, names)[0]
    way = np.random.default_rng(0).normal(size=gradient.shape)
    step, moved = 1e-3, []
    for sign in (1, -1):
        state, start = {}, 0
        for name in names:
            size = private.state[name].numel()
            part = torch.from_numpy(way[start : start + size]).float()
            state[name] = private.state[name] + sign * step * part.reshape_as(private.state[name])
            start += size
        load_adapter_state(private.task.vlm, state)
        with torch.no_grad():
            moved.append(float(members.losses([0])[0]))
    assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(gradient @ way, rel=0.05)


def test_canaries_are_neither_members_nor_others(private: Subject) -> None:
    owner = private.owners[0]
    planted = {canary.id for canary in canaries_of(private.plan, owner)}
    members, others = members_and_others(private, owner, most=1000, seed=0)
    assert planted
    assert not planted & {*members.users, *others.users}


def test_without_updates_it_is_said_how_to_keep_them(by_heart: Subject, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--keep-updates"):
        ask(AUDIT, by_heart, Asking())
