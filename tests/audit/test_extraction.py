"""Secrets are read out of an adapter that learnt them by heart, and not of a private one."""

from dataclasses import replace

import pytest
import torch

from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.epsilon import planted_of
from discreet.audit.secrets import secrets_of
from discreet.evidence import as_record, evidence_of
from discreet.federated import presentations
from discreet.model import (
    adapter_parameters,
    adapter_state,
    answer_losses,
    collate,
    load_adapter_state,
)
from discreet.types import OwnerId

AUDIT = AUDITS["extraction"]
ONE_OWNER = Asking(effort="quick", owners=1)
STEPS = 120


@pytest.fixture(scope="module")
def few(private: Subject) -> Subject:
    """The private run, as if it had 12 canaries an owner."""
    return replace(private, plan=replace(private.plan, canaries=12))


@pytest.fixture(scope="module")
def remembering(few: Subject) -> Subject:
    """An adapter that was taught the planted canaries of one owner by heart, and nothing else."""
    planted, vlm = planted_of(few, OwnerId("owner-0")), few.task.vlm
    chosen = [
        presentations(example)[0]
        for example, inside in zip(planted.lessons.examples, planted.included, strict=True)
        if inside
    ]
    batch = collate(vlm, chosen)
    load_adapter_state(vlm, few.first)
    optimizer = torch.optim.Adam(adapter_parameters(vlm).values(), lr=0.03)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = answer_losses(vlm, batch, None).mean()
        loss.backward()
        optimizer.step()
    return replace(few, state=adapter_state(vlm))


def test_secrets_that_were_learnt_by_heart_are_read_out(remembering: Subject) -> None:
    found = ask(AUDIT, remembering, ONE_OWNER)
    assert "Secrets can be read out" in found.verdict
    beam = found.values["extracted"]["beam of 4"]
    assert beam["planted"]["tokens_low"] > 0.5
    assert beam["others"]["exact"] == 0
    assert beam["others"]["tokens_low"] < 0.3
    assert found.values["exposures"]["adapter alone"]["low"] > 0
    assert found.values["chance"] < 0.05
    assert found.values["exposures"]["base alone"]["low"] <= 0
    assert evidence_of(as_record(found)) == found


def test_a_private_adapter_gives_no_secret_away(few: Subject) -> None:
    found = ask(AUDIT, few, ONE_OWNER)
    assert "Nothing found" in found.verdict
    assert found.values["chance"] > 0.05
    for kinds in found.values["extracted"].values():
        assert kinds["planted"]["exact"] == kinds["others"]["exact"] == 0
        assert kinds["planted"]["tokens_low"] <= 0.2


def test_the_form_is_that_of_the_canary_and_says_nothing_of_its_digits(few: Subject) -> None:
    planted = planted_of(few, OwnerId("owner-0"))
    for secret in secrets_of(few, ONE_OWNER):
        assert [len(allowed) for allowed in secret.form] == [10] * 4 + [1] + [10] * 4
        assert few.task.vlm.tokenizer.decode(secret.tokens) in {c.secret for c in planted.canaries}


def test_too_few_secrets_of_a_kind_are_said(few: Subject) -> None:
    fewer = replace(few, plan=replace(few.plan, canaries=8))
    with pytest.raises(ValueError, match="at least 5 were planted and as many not"):
        secrets_of(fewer, ONE_OWNER)


def test_a_run_without_canaries_is_told_how_to_plant_them(few: Subject) -> None:
    with pytest.raises(ValueError, match="discreet train --set canaries=100"):
        ask(AUDIT, replace(few, plan=replace(few.plan, canaries=0)), Asking())
