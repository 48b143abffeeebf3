"""Plan, account for and run differentially private training."""

from discreet.privacy.accounting import (
    CrossCheck,
    Event,
    OutOfRange,
    best_tpr,
    cross_check,
    epsilon_of,
)
from discreet.privacy.banded import BandedNoise, banded_coefficients, prefix_sum_error
from discreet.privacy.batching import ExampleLosses, LossFn, StepRecord, draw_poisson, run_steps
from discreet.privacy.example_gradients import ExampleGradients, Rows, part_of, rows_of_counts
from discreet.privacy.ledger import Account, LedgerEntry, PrivacyLedger
from discreet.privacy.plan import PrivacyPlan, Unit, calibrate
from discreet.privacy.training import Engine, fit_private, spend

__all__ = [
    "Account",
    "BandedNoise",
    "CrossCheck",
    "Engine",
    "Event",
    "ExampleGradients",
    "ExampleLosses",
    "LedgerEntry",
    "LossFn",
    "OutOfRange",
    "PrivacyLedger",
    "PrivacyPlan",
    "Rows",
    "StepRecord",
    "Unit",
    "banded_coefficients",
    "best_tpr",
    "calibrate",
    "cross_check",
    "draw_poisson",
    "epsilon_of",
    "fit_private",
    "part_of",
    "prefix_sum_error",
    "rows_of_counts",
    "run_steps",
    "spend",
]
