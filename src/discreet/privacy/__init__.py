"""Plan, account for and run differentially private training."""

from discreet.privacy.accounting import Event, epsilon_of
from discreet.privacy.batching import ExampleLosses, LossFn, StepRecord, draw_poisson, run_steps
from discreet.privacy.exactness import ExactnessReport, check_exactness
from discreet.privacy.example_gradients import ExampleGradients, Rows, part_of, rows_of_counts
from discreet.privacy.ledger import Account, LedgerEntry, PrivacyLedger
from discreet.privacy.plan import PrivacyPlan, Unit, calibrate
from discreet.privacy.sensitivity import (
    SensitivityReport,
    clipped_sum_of,
    draw_batches,
    fuzz_sensitivity,
)
from discreet.privacy.training import Engine, fit_private, spend

__all__ = [
    "Account",
    "Engine",
    "Event",
    "ExactnessReport",
    "ExampleGradients",
    "ExampleLosses",
    "LedgerEntry",
    "LossFn",
    "PrivacyLedger",
    "PrivacyPlan",
    "Rows",
    "SensitivityReport",
    "StepRecord",
    "Unit",
    "calibrate",
    "check_exactness",
    "clipped_sum_of",
    "draw_batches",
    "draw_poisson",
    "epsilon_of",
    "fit_private",
    "fuzz_sensitivity",
    "part_of",
    "rows_of_counts",
    "run_steps",
    "spend",
]
