"""The audits there are, the most telling first: a new one is a new file and a line here."""

from collections.abc import Mapping

from discreet.audit import (
    attribution,
    contribution,
    epsilon,
    extraction,
    fairness,
    mechanism,
    membership,
    reconstruction,
    updates,
)
from discreet.audit.asked import Audit

AUDITS: Mapping[str, Audit] = {
    one.AUDIT.name: one.AUDIT
    for one in (
        membership,
        updates,
        extraction,
        reconstruction,
        epsilon,
        mechanism,
        fairness,
        contribution,
        attribution,
    )
}
"""By name."""
