"""Pictures are found in one example's gradient, and not in what the plan's noise hides."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.inverting import (
    BATCH,
    KEPT,
    ONE,
    PLAN,
    SUM,
    Attacked,
    batch_of,
    gradients_with,
    know_others,
    seen_of,
)
from discreet.audit.naming import name_tokens
from discreet.audit.reconstruction import measure, targets_of
from discreet.evidence import Evidence, as_record, evidence_of
from discreet.federated import PortraitLessons, canaries_of, plan_of
from discreet.model import load_adapter_state

AUDIT = AUDITS["reconstruction"]
QUICK = Asking(effort="quick")


@pytest.fixture(scope="module")
def found(private: Subject) -> Evidence:
    return ask(AUDIT, private, QUICK)


def test_every_form_in_which_a_server_sees_an_example_is_tried(found: Evidence) -> None:
    assert set(found.values["pictures"]) == {ONE, BATCH, PLAN, SUM, KEPT}
    assert evidence_of(as_record(found)) == found
    references = found.values["references"]
    assert references["true visual tokens"]["psnr"] > references["mean picture of others"]["psnr"]


def test_a_picture_is_found_in_its_own_gradient_and_noise_hides_it(found: Evidence) -> None:
    pictures = found.values["pictures"]
    assert pictures[ONE]["by_gradient"] == 1.0
    assert pictures[ONE]["cosine"] > pictures[PLAN]["cosine"]
    assert pictures[PLAN]["by_gradient_low"] <= 1 / found.values["gallery"]
    assert "Nothing found" in found.verdict
    assert "The attack works where nothing protects" in found.says[1]


def test_gradients_with_the_true_tokens_are_those_of_training(private: Subject) -> None:
    load_adapter_state(private.task.vlm, private.first)
    target = targets_of(private, QUICK)[0]
    parameters = [p for p in private.task.vlm.model.parameters() if p.requires_grad]
    plain = torch.autograd.grad(target.lessons.losses([target.place]).sum(), parameters)
    own = gradients_with(private, batch_of(target), target.tokens)
    plain_length = sum(float(part.square().sum()) for part in plain) ** 0.5
    own_length = sum(float(part.square().sum()) for part in own) ** 0.5
    assert own_length == pytest.approx(plain_length, rel=1e-3)


def test_what_is_private_is_the_noise_of_the_plan(private: Subject) -> None:
    load_adapter_state(private.task.vlm, private.first)
    target = targets_of(private, QUICK)[0]
    seen = [
        torch.cat([part.flatten() for part in seen_of(private, target, size=2, seed=seed)[PLAN]])
        for seed in (0, 1)
    ]
    spread = float((seen[0] - seen[1]).std()) / np.sqrt(2)
    plan = plan_of(private.plan)
    scale = plan.gradient_noise_multiplier * plan.max_grad_norm
    assert spread == pytest.approx(scale, rel=0.15)


def test_targets_are_people_and_no_canaries(private: Subject) -> None:
    targets = targets_of(private, QUICK)
    people = [one.lessons.examples[one.place].identity_id for one in targets]
    planted = {canary.id for owner in private.owners for canary in canaries_of(private.plan, owner)}
    assert len(set(people)) == len(people) == 4
    assert not planted & set(people)


def test_words_are_not_named_once_rows_span_everything(private: Subject) -> None:
    load_adapter_state(private.task.vlm, private.first)
    target = targets_of(private, QUICK)[0]
    seen = seen_of(private, target, size=2, seed=0)
    named = name_tokens(private, target, seen)
    for one in named.values():
        assert 0 <= one.precision <= 1
        if one.is_full:
            assert one.named == 0


def test_means_are_over_people() -> None:
    some = [
        Attacked(
            cosine=value,
            found_by_tokens=value > 0.4,
            found_by_gradient=True,
            psnr=10.0,
            ssim=0.5,
        )
        for value in (0.1, 0.3, 0.5, 0.7)
    ]
    found = measure(some)
    assert found.cosine == pytest.approx(0.4)
    assert (found.by_tokens, found.by_gradient, found.people) == (0.5, 1.0, 4)
    assert found.by_gradient_low == pytest.approx(0.025 ** (1 / 4))


def test_too_few_people_and_other_runs_are_refused(private: Subject) -> None:
    others = private.others(private.owners[0])
    assert isinstance(others, PortraitLessons)
    with pytest.raises(ValueError, match="Expected 501 people or more"):
        know_others(others, gallery=500, taught=10)
    chats = replace(private, plan=replace(private.plan, examples="conversations", canaries=0))
    with pytest.raises(ValueError, match="Expected a run on portraits"):
        ask(AUDIT, chats, QUICK)
