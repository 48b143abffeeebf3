"""An owner's local steps in one round: private ones, or plain ones where a whole update is hidden.

What every `LocalTask` does between putting a state into its model and taking the trained one out.
It knows the plan and the account, and no task: that is in the losses and in the optimizer.

    statement = train_locally(config, plan_of(config), model, losses, num_examples=20, ...)
"""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import nn

from discreet.federated.config import TrainConfig
from discreet.federated.local_task import Assignment, draw_generators
from discreet.federated.plain import train_plainly
from discreet.privacy import LossFn, PrivacyLedger, PrivacyPlan, StepRecord, poisson, spend
from discreet.types import OwnerId, PrivacyStatement


def train_locally(
    config: TrainConfig,
    plan: PrivacyPlan,
    model: nn.Module,
    losses: LossFn,
    *,
    optimizer: torch.optim.Optimizer,
    owner: OwnerId,
    assignment: Assignment,
    ledger: PrivacyLedger,
    num_examples: int,
    rows_per_example: int = 1,
    user_of: Sequence[Hashable] | None = None,
    max_physical_batch: int | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
) -> PrivacyStatement | None:
    """Take `local_steps` steps as the plan says, with the chance of this owner and round.

    They are private, unless the unit is the owner: what plain steps give may leave the device only
    where it is hidden as a whole, later.

    Args:
        config: The public plan.
        plan: What an account counts of it; used where steps are private.
        model: Holds what learns.
        losses: Indices of N examples -> their losses (N,).
        optimizer: Over what learns.
        owner: Whose examples these are.
        assignment: What the round asks.
        ledger: Where the owner's account is, or is opened.
        num_examples: How many the owner has.
        rows_per_example: Rows of a forward pass that are one example.
        user_of: Whose each example is, for plans whose unit is the user.
        max_physical_batch: Examples in memory at once; the plan's by default.
        on_step: Told about each step; what it is told must not leave the device.

    Returns:
        What the owner has spent in all; None where steps are plain.

    Raises:
        BudgetExhausted: before any step, if the owner's budget does not cover them.
    """
    chance = draw_generators(config, owner=owner, server_round=assignment.server_round)
    batch = max_physical_batch or config.max_physical_batch
    if config.unit == "owner":
        train_plainly(
            losses,
            optimizer,
            draw=poisson(num_examples, config.sample_rate, chance.sampling),
            steps=config.local_steps,
            expected_batch_size=config.expected_batch_size,
            max_physical_batch=batch,
            on_step=on_step,
        )
        return None
    ledger.open_account(owner, plan, fingerprint=assignment.fingerprint)
    return spend(
        ledger,
        owner,
        model,
        losses,
        num_examples=num_examples,
        rows_per_example=rows_per_example,
        plan=plan,
        steps=config.local_steps,
        optimizer=optimizer,
        sampling_generator=chance.sampling,
        noise_generator=chance.noise,
        max_physical_batch=batch,
        engine=config.engine,  # type: ignore[arg-type]
        user_of=user_of,
        reproducible=config.reproducible,
        on_step=on_step,
    )
