"""What is told of adapters on known mixtures: more than by chance where training was plain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from discreet.bench import (
    MIXED_PLAN,
    Lab,
    LeftOut,
    SamePeople,
    Trial,
    as_attribution_table,
    measure_attribution,
)
from discreet.bench.attribution import NAMES, mixtures
from discreet.bench.known_mixtures import KINDS
from tests.audit.runs import sharp_base

EXAMPLES = 8


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    base = sharp_base(tmp_path_factory.mktemp("bases") / "sharp")
    plan = replace(
        MIXED_PLAN, base=str(base), lora_layers=2, local_steps=4, expected_batch_size=EXAMPLES // 4
    )
    return Lab.build(plan, people=3 * EXAMPLES, keep=tmp_path_factory.mktemp("kept"))


def test_nobody_is_with_the_auditor_and_in_a_suspect(lab: Lab) -> None:
    suspects = lab.lessons(lab.drawn([0.25] * 4, 4 * 3 * EXAMPLES, seed=0))
    auditors = [lab.lessons(one) for kind in range(4) for one in lab.samples(kind, 3)]
    assert not set(suspects.users) & {user for own in auditors for user in own.users}
    for kind in range(4):
        parts = [set(lab.lessons(one).users) for one in lab.samples(kind, 3)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 3 * EXAMPLES


def test_examples_are_of_the_people_and_the_subject_of_their_data_set(lab: Lab) -> None:
    for kind, (age_band, domain) in enumerate(KINDS.values()):
        alone = np.eye(4)[kind].tolist()
        drawn = lab.drawn(alone, EXAMPLES, seed=kind)
        assert drawn.shares.tolist() == alone
        part = lab.lessons(drawn)
        chosen = [lab.every.examples[place] for place in part.indices]
        assert {one.age_band for one in chosen} == {age_band}
        assert {one.domain for one in chosen} == {domain}


def test_what_is_left_out_is_replaced_where_it_was(lab: Lab) -> None:
    drawn = lab.drawn([0.5, 0.5, 0, 0], 20, seed=1)
    without = drawn.without(0, seed=2)
    assert len(without.examples) == 20
    assert without.shares.tolist() == [0, 1, 0, 0]
    for before, after in zip(drawn.examples, without.examples, strict=True):
        assert after == before or before[0] == 0


def test_shares_are_of_one_to_three_sets() -> None:
    shares = mixtures(50, np.random.default_rng(0))
    np.testing.assert_allclose(shares.sum(1), 1)
    assert set((shares > 0).sum(1).tolist()) == {1, 2, 3}


def test_too_few_people_are_said(lab: Lab) -> None:
    with pytest.raises(ValueError, match="Expected at least 4000 people"):
        Lab.build(lab.task.config, people=2000)


def test_it_tells_what_plain_training_used_and_says_so_in_a_table(lab: Lab) -> None:
    told: list[str] = []
    found = list(measure_attribution(lab, suspects=6, examples=EXAMPLES, on_done=told.append))
    trials = {one.name: one for one in found if isinstance(one, Trial)}
    plain = trials["plain"]
    assert plain.methods["mixture of gradients"].auc.value > 0.75
    assert plain.methods["mixture of gradients"].error.value < plain.methods["a coin"].uniform
    assert plain.told > 3
    private = trials["private"]
    assert private.told < plain.told, "the noise of so few examples hides what shaped it"
    left_out = next(one for one in found if isinstance(one, LeftOut))
    assert left_out.shares.value > 0
    same = next(one for one in found if isinstance(one, SamePeople))
    assert 0 <= same.told_apart <= 1

    table = as_attribution_table(found)
    assert table.count("| plain |") == len(plain.methods)
    assert "Left out (" in table
    assert set(NAMES) == set(KINDS)


def test_what_was_trained_is_not_trained_again(lab: Lab) -> None:
    drawn = lab.drawn([1, 0, 0, 0], EXAMPLES, seed=9)
    first = lab.train(drawn, name="one")
    (path,) = [path for path in Path(lab.keep or "").iterdir() if path == lab.kept(drawn, "one")]
    written = path.stat().st_mtime_ns
    again = lab.train(drawn, name="one")
    assert path.stat().st_mtime_ns == written
    assert all(torch.equal(first[name], value) for name, value in again.items())
    assert lab.kept(drawn, "other") != path
    assert lab.kept(drawn, "one", is_private=True) != path
