"""The audit of the private step, asked of a run."""

from dataclasses import replace

import pytest

from discreet.audit import AUDITS, Asking, Subject, ask

AUDIT = AUDITS["mechanism"]


def test_the_step_of_a_run_is_not_refuted(private: Subject) -> None:
    """A correct step is refuted in at most 5 % of tests; the seed is one that was not chosen."""
    found = ask(AUDIT, private, Asking(effort="quick"))
    assert not found.values["refuted"]
    assert found.verdict.startswith(("Not refuted", "Nothing found, and so few"))
    assert found.values["at_least"] <= found.values["at_most"]


OWNERS = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0, "canaries": 0}


def test_the_sum_of_owners_is_played_against_where_whole_owners_are_hidden(
    private: Subject,
) -> None:
    plan = replace(private.plan, **OWNERS)  # type: ignore[arg-type]
    found = ask(AUDIT, replace(private, plan=plan), Asking(effort="quick"))
    assert not found.values["refuted"]
    assert "(unit: owner, neighbours: add_or_remove_one)" in found.verdict
    estimate = found.values["estimate"]
    assert estimate["epsilon_low"] <= found.values["at_most"] <= estimate["epsilon_high"]
    assert "no certificate" in found.says[1]


def test_shares_of_noise_are_another_question(private: Subject) -> None:
    plan = replace(private.plan, **OWNERS)  # type: ignore[arg-type]
    shared = replace(plan)
    object.__setattr__(shared, "secure_aggregation", True)
    with pytest.raises(ValueError, match="one party adds the noise"):
        ask(AUDIT, replace(private, plan=shared), Asking())
