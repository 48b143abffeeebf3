"""Plan, account for and run differentially private training."""

from discreet.privacy.accounting import epsilon_of
from discreet.privacy.batching import LossFn, StepRecord, draw_poisson, run_steps
from discreet.privacy.ledger import Account, LedgerEntry, PrivacyLedger
from discreet.privacy.plan import PrivacyPlan, Unit, calibrate
from discreet.privacy.training import fit_private, spend

__all__ = [
    "Account",
    "LedgerEntry",
    "LossFn",
    "PrivacyLedger",
    "PrivacyPlan",
    "StepRecord",
    "Unit",
    "calibrate",
    "draw_poisson",
    "epsilon_of",
    "fit_private",
    "run_steps",
    "spend",
]
