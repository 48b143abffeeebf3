"""People are found again in what holds who they are, and not in noise."""

from collections.abc import Mapping

import numpy as np
import pytest

from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.identity import AGE, evidence_of_linkage
from discreet.audit.onlookers import portraits_of
from discreet.evidence import as_record, evidence_of
from discreet.leakage import Representation, Truth, label_representation, measure_linkage, truth_of
from discreet.types import Split


@pytest.fixture(scope="module")
def truth() -> Mapping[Split, Truth]:
    return {split: truth_of(own) for split, own in portraits_of(210).items()}


@pytest.mark.parametrize("planted", [True, False])
def test_people_are_found_again_where_they_are_handed_on(
    truth: Mapping[Split, Truth], planted: bool
) -> None:
    draw = np.random.default_rng(9)
    rows: dict[Split, np.ndarray] = {}
    for split, own in truth.items():
        vector_of = {person: draw.normal(size=16) for person in dict.fromkeys(own.people.tolist())}
        noise = draw.normal(size=(len(own.people), 16))
        rows[split] = noise + planted * 2 * np.stack([vector_of[p] for p in own.people.tolist()])
    who = {split: one.people for split, one in truth.items()}
    shown = {"handed on": Representation(features=lambda split: rows[split])}
    found = measure_linkage(shown, who, recognised=None)
    against = measure_linkage({AGE: label_representation(truth)}, who)
    evidence = evidence_of_linkage(found, against)
    assert evidence.verdict.startswith("People are found again") == planted
    assert evidence.verdict.startswith("Nobody is found again") != planted
    assert "pip install 'discreet[recogniser]'" in " ".join(evidence.says)


def test_an_audit_looks_people_up(private: Subject) -> None:
    found = ask(AUDITS["identity"], private, Asking(effort="quick"))
    assert len(found.tables[0].rows) > 2
    assert evidence_of(as_record(found)) == found
    names = {one.identity_id for own in portraits_of(140).values() for one in own}
    assert not any(name in str(as_record(found)) for name in names)
    assert found.values["has_recogniser"]
    assert any("face recogniser on the pictures names" in said for said in found.says)
