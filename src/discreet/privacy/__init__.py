"""Plan, account for and run differentially private training."""

from discreet.privacy.account import Account, Reservation
from discreet.privacy.accounting import Event, OutOfRange, epsilon_of
from discreet.privacy.batching import ExampleLosses, LossFn, StepRecord, draw_poisson, run_steps
from discreet.privacy.example_gradients import ExampleGradients, Rows, part_of, rows_of_counts
from discreet.privacy.ledger import PrivacyLedger, spent_together
from discreet.privacy.plan import PrivacyPlan, Unit, calibrate
from discreet.privacy.training import Engine, fit_private, spend

__all__ = [
    "Account",
    "Engine",
    "Event",
    "ExampleGradients",
    "ExampleLosses",
    "LossFn",
    "OutOfRange",
    "PrivacyLedger",
    "PrivacyPlan",
    "Reservation",
    "Rows",
    "StepRecord",
    "Unit",
    "calibrate",
    "draw_poisson",
    "epsilon_of",
    "fit_private",
    "part_of",
    "rows_of_counts",
    "run_steps",
    "spend",
    "spent_together",
]
