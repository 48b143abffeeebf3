"""Plan, account for and run differentially private training."""

from discreet.privacy.account import Account, Reservation
from discreet.privacy.accounting import (
    CrossCheck,
    Event,
    OutOfRange,
    best_tpr,
    cross_check,
    epsilon_of,
)
from discreet.privacy.banded import BandedNoise, banded_coefficients, prefix_sum_error
from discreet.privacy.batching import ExampleLosses, LossFn, StepRecord, run_steps
from discreet.privacy.carrying import carry_over
from discreet.privacy.discrete import OwnerShare
from discreet.privacy.exactness import ExactnessReport, check_exactness
from discreet.privacy.example_gradients import ExampleGradients, Rows, part_of, rows_of_counts
from discreet.privacy.ledger import PrivacyLedger, spent_together
from discreet.privacy.noisy_sum import NoisySum
from discreet.privacy.opacus_step import OpacusStep, OpacusWay
from discreet.privacy.owners import OwnerSum, spend_round
from discreet.privacy.plan import (
    NeighbouringRelation,
    PrivacyPlan,
    Sampled,
    Sampler,
    Unit,
    calibrate,
)
from discreet.privacy.randomness import CounterGenerator
from discreet.privacy.sampling import Draw, bins, cyclic, draw_as_planned, poisson
from discreet.privacy.sensitivity import (
    SensitivityReport,
    clipped_sum_of,
    draw_batches,
    fuzz_sensitivity,
)
from discreet.privacy.training import Engine, fit_private, spend
from discreet.privacy.users import UserLosses

__all__ = [
    "Account",
    "BandedNoise",
    "CounterGenerator",
    "CrossCheck",
    "Draw",
    "Engine",
    "Event",
    "ExactnessReport",
    "ExampleGradients",
    "ExampleLosses",
    "LossFn",
    "NeighbouringRelation",
    "NoisySum",
    "OpacusStep",
    "OpacusWay",
    "OutOfRange",
    "OwnerShare",
    "OwnerSum",
    "PrivacyLedger",
    "PrivacyPlan",
    "Reservation",
    "Rows",
    "Sampled",
    "Sampler",
    "SensitivityReport",
    "StepRecord",
    "Unit",
    "UserLosses",
    "banded_coefficients",
    "best_tpr",
    "bins",
    "calibrate",
    "carry_over",
    "check_exactness",
    "clipped_sum_of",
    "cross_check",
    "cyclic",
    "draw_as_planned",
    "draw_batches",
    "epsilon_of",
    "fit_private",
    "fuzz_sensitivity",
    "part_of",
    "poisson",
    "prefix_sum_error",
    "rows_of_counts",
    "run_steps",
    "spend",
    "spend_round",
    "spent_together",
]
