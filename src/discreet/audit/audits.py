"""The audits there are, the most telling first: a new one is a new file and a line here."""

from collections.abc import Mapping

from discreet.audit import (
    attributes,
    attribution,
    contribution,
    epsilon,
    extraction,
    fairness,
    identity,
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
        attributes,
        identity,
        epsilon,
        mechanism,
        fairness,
        contribution,
        attribution,
    )
}
"""By name."""
