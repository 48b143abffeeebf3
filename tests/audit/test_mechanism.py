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


def test_noise_on_updates_is_another_question(private: Subject) -> None:
    changes = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0, "canaries": 0}
    other = replace(private, plan=replace(private.plan, **changes))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the noise is on updates"):
        ask(AUDIT, other, Asking())
