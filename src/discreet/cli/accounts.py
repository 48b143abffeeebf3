"""Which ledger is meant, and what its numbers are in words: for planned and for spent epsilon."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactError
from discreet.privacy import Account, CrossCheck, Event, PrivacyLedger
from discreet.registry import REFERENCE, REFERENCE_DIR
from discreet.types import rounded_up

FPR = 0.01
"""False-positive rate at which an attacker's best true-positive rate is told."""
SEEDED = (
    "noise from a public seed in {steps} steps: whoever knows it can take the noise out again, and "
    "nothing is promised"
)


def ledger_of(ref: str, runs: Path) -> PrivacyLedger:
    """Return the ledger that a reference names; nothing is written beside it."""
    path = Path(ref)
    if ref == REFERENCE and not path.exists():
        path = REFERENCE_DIR
    elif not path.exists() and path.name == ref:
        path = runs / ref
    if not path.exists():
        raise ArtifactError(
            f"Expected a run folder, a ledger file, '{REFERENCE}' or a run in '{runs}', got "
            f"'{ref}'. `discreet adapters list` shows the runs."
        )
    if path.is_dir():
        path = RunFolder.open(path).ledger_path
        if not path.exists() and not path.with_suffix(".json").exists():
            raise ArtifactError(
                f"Expected '{path.name}' in '{ref}', found none. The server of a federation has "
                "no ledger: name those of its owners' devices."
            )
    return PrivacyLedger(path)


def seeded_steps(account: Account) -> int:
    """Return how many steps drew their noise from a public seed."""
    return sum(entry.steps_counted for entry in account.entries if not entry.is_private)


def by_accountant(found: CrossCheck, events: Sequence[Event]) -> str:
    """Return the epsilons of all accountants in words."""
    if found.prv is not None:
        prv = f"prv {rounded_up(found.prv)}"
    elif any(event.contributions > 1 for event in events):
        prv = "prv cannot count several examples of a user"
    else:
        prv = "prv cannot compute it"
    return f"pld {rounded_up(found.pld)}, {prv}, rdp {rounded_up(found.rdp)} (a check)"


def attack(unit: str, tpr: float) -> str:
    """Return what an attacker finds at most, in words."""
    return (
        f"finds {ceil(tpr * 1000 - 1e-9) / 10:.1f}% of the {unit}s in the data at most, if it may "
        f"falsely accuse {FPR:.0%} of the others (a guess finds {FPR:.0%})"
    )
