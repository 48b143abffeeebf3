"""Differentially private training of an adapter, on one device, with its spending recorded first.

Gradients of single examples are clipped to `max_grad_norm`, summed, blurred by Gaussian noise and
divided by a public number (Abadi et al. 2016, Algorithm 1, arXiv:1607.00133). An engine makes and
clips the gradients; this file decides what is refused and that nothing else gets through.

Guarantee:
    With `spend`, all states of the trainable parameters after all steps that the ledger holds for
    an owner are together (epsilon, delta)-differentially private for adding or removing one unit
    of the plan (an example, or all examples of a user), with the epsilon of `PrivacyLedger.spent`.
    Empty batches, examples with several rows, examples whose gradient is not finite, and rounding
    of sums and noise are covered (see `clipping`).

    It rests on what code cannot see: `loss_of` gives each example a loss that depends on no other
    example; whose the rows are that a layer sees is said truly; `user_of` names users truly; the
    optimizer's settings and the plan do not depend on the data, nor a later plan on what earlier
    steps released; AES-256 is indistinguishable from chance. Where somebody stops because of what
    was released, the target holds, and the figure spent by then may be low.

    With `loss_noise` in the plan, `StepRecord.released_loss` of each step is covered too.

    It does not cover: the rest of `StepRecord` (loss, batch size and rejected count come without
    noise and stay on the device); under the unit "example" a person with several examples, whose
    epsilon is larger; time and memory use; a seeded generator, whose noise anybody can draw again.
    The gradient of an example may come out a few units in the last place different beside other
    examples, because matrix products of other sizes round differently: that moved the sum of the
    others by up to 1e-4 of the clipping norm on `small` in float32 (more in bfloat16), within the
    thousandth that the grid gives away, but nothing proves that it stays there.
    `max_physical_batch=1` removes it.

One step, with the sampler `poisson` and a fixed norm (others: `PrivacyPlan`):
    drawn = each example with chance sample_rate, on a coin of its own
    g_i   = sum over the rows of example i of the row's gradient; 0 if not finite
    total = sum of g_i * min(1, max_grad_norm / |g_i|) + noise_multiplier * max_grad_norm * N(0, 1)
    optimizer.step with gradient total / expected_batch_size

Any optimizer may follow, Adam too: what it does with the noisy gradient is post-processing.
"""

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import nn

from discreet.privacy.account import Reservation
from discreet.privacy.batching import LossFn, StepRecord, run_steps
from discreet.privacy.example_gradients import ExampleGradients, refuse_mixing
from discreet.privacy.ledger import PrivacyLedger
from discreet.privacy.noisy_sum import GradientSums, NoisySum
from discreet.privacy.opacus_gradients import OpacusGradients
from discreet.privacy.plan import PrivacyPlan, require_count
from discreet.privacy.randomness import CounterGenerator
from discreet.privacy.sampling import draw_as_planned
from discreet.privacy.users import UserLosses, most_of_one_user
from discreet.types import OwnerId, PrivacyStatement

Engine = Literal["flat", "grouped", "opacus"]
"""How gradients of examples are made and clipped: by this project's own layers, clipped as a whole
(flat) or layer by layer (grouped), or by Opacus' hooks."""


def spend(
    ledger: PrivacyLedger,
    owner: OwnerId,
    model: nn.Module,
    loss_of: LossFn,
    *,
    num_examples: int,
    rows_per_example: int = 1,
    plan: PrivacyPlan,
    steps: int,
    optimizer: torch.optim.Optimizer,
    sampling_generator: CounterGenerator,
    noise_generator: CounterGenerator,
    max_physical_batch: int = 8,
    engine: Engine = "flat",
    user_of: Sequence[Hashable] | None = None,
    reproducible: bool = False,
    on_step: Callable[[StepRecord], None] | None = None,
) -> PrivacyStatement:
    """Reserve `steps` steps of the owner, train, settle; return what the owner has spent in all.

    Arguments are those of `fit_private`, and `reproducible`: allow generators that anybody can draw
    again, on public data; the ledger then says that nothing was private. Before the first call, run
    `check_exactness` on the model and some batches: a loss that is coupled within a batch passes
    unnoticed here. If training fails, the steps that were started count,
    that which failed included; if the process is killed, all that were reserved.

    Raises:
        BudgetExhausted: if the steps would pass the target. Nothing is reserved or trained.
        LedgerInUse: if another process trains for this owner. Nothing is reserved or trained.
        ValueError: if `plan` is not the account's, or the set-up is unsafe. Nothing is trained.
        OSError: if the reservation cannot be written. Nothing is trained.
    """
    run = _prepared(
        model,
        loss_of,
        num_examples=num_examples,
        rows_per_example=rows_per_example,
        plan=plan,
        steps=steps,
        optimizer=optimizer,
        sampling_generator=sampling_generator,
        noise_generator=noise_generator,
        max_physical_batch=max_physical_batch,
        engine=engine,
        user_of=user_of,
        on_step=on_step,
    )
    is_private = sampling_generator.is_secret and noise_generator.is_secret
    if not (is_private or reproducible):
        raise ValueError(
            "Expected generators with a key from the operating system, got a seeded one: whoever "
            "knows the text can draw the noise again, so that nothing is private. Use "
            "CounterGenerator.from_os(), or reproducible=True on public data."
        )
    with ledger.held_for(owner):
        reservation = ledger.reserve(owner, steps=steps, plan=plan, is_private=is_private)
        with settled(ledger, reservation) as count:
            run(count)
        return ledger.spent(owner)


@contextmanager
def settled(ledger: PrivacyLedger, reservation: Reservation) -> Iterator[Callable[[int], None]]:
    """Yield what counts the steps of the block as they start; settle however the block ends."""
    started = 0

    def count(step: int) -> None:
        nonlocal started
        started = step

    try:
        yield count
    finally:
        try:
            ledger.settle(reservation, started)
        except OSError as error:  # an error would hide that of the block, or lose what it trained
            warnings.warn(
                f"Expected to settle {started} of {reservation.steps} reserved steps, could not "
                f"write the ledger ({error.strerror}): all of them count. Make room on the disk.",
                RuntimeWarning,
                stacklevel=4,
            )


def fit_private(
    model: nn.Module,
    loss_of: LossFn,
    *,
    num_examples: int,
    rows_per_example: int = 1,
    plan: PrivacyPlan,
    steps: int,
    optimizer: torch.optim.Optimizer,
    sampling_generator: CounterGenerator,
    noise_generator: CounterGenerator,
    max_physical_batch: int = 8,
    engine: Engine = "flat",
    user_of: Sequence[Hashable] | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
) -> None:
    """Train the parameters of `optimizer` by DP-SGD. Writes to no ledger; `spend` does.

    The model comes back without hooks, in the modes it had and without gradients, whatever
    happens.

    Args:
        model: Only parameters with `requires_grad` learn; they must be float32 or float64.
        loss_of: Indices of N examples -> their losses (N,), each of its own example only. Where the
            model sees other rows than `rows_per_example` for each example in order, it returns
            `ExampleLosses`, which says whose they are.
        num_examples: Size of the data, which is private. 0 gives pure noise.
        rows_per_example: Rows of one example; they are clipped together, as one gradient.
        plan: The public settings.
        steps: How many of the plan's steps to take now.
        optimizer: Holds exactly the trainable parameters of `model`.
        sampling_generator: Decides which examples are drawn.
        noise_generator: Decides the noise; another stream than that of the sampling.
        max_physical_batch: Examples in memory at once. Changes speed, not the result.
        engine: How gradients are made and clipped.
        user_of: The user of each example, if the plan protects users; stays on the device.
        on_step: Told about each step; what it is told must not leave the device, but for
            `released_loss`.

    Raises:
        ValueError: if the set-up is unsafe, before the model is touched.
        RuntimeError: if a layer gives no gradient for each row, or no parameter moved.

    Source: Abadi et al. 2016, Algorithm 1 (arXiv:1607.00133).
    """
    run = _prepared(
        model,
        loss_of,
        num_examples=num_examples,
        rows_per_example=rows_per_example,
        plan=plan,
        steps=steps,
        optimizer=optimizer,
        sampling_generator=sampling_generator,
        noise_generator=noise_generator,
        max_physical_batch=max_physical_batch,
        engine=engine,
        user_of=user_of,
        on_step=on_step,
    )
    run(None)


def _prepared(
    model: nn.Module,
    loss_of: LossFn,
    *,
    num_examples: int,
    rows_per_example: int,
    plan: PrivacyPlan,
    steps: int,
    optimizer: torch.optim.Optimizer,
    sampling_generator: CounterGenerator,
    noise_generator: CounterGenerator,
    max_physical_batch: int,
    engine: Engine,
    user_of: Sequence[Hashable] | None,
    on_step: Callable[[StepRecord], None] | None,
) -> Callable[[Callable[[int], None] | None], None]:
    """Refuse what is unsafe, and return what trains, once, telling the number of each step first.

    Nothing is touched, drawn or computed before that is called.
    """
    _check(model, optimizer, plan, steps, sampling_generator, noise_generator)
    require_count("rows_per_example", rows_per_example)
    require_count("max_physical_batch", max_physical_batch)
    _check_users(plan, num_examples, user_of)
    sums = _sums(model, max_physical_batch, plan, engine)
    mechanism = NoisySum(sums, optimizer, plan, noise_generator)
    if plan.sampled == "user":
        assert user_of is not None
        assert plan.examples_per_user is not None
        most = plan.examples_per_user
        loss_of = UserLosses(
            loss_of,
            user_of,
            most=most,
            rows_per_example=rows_per_example,
            generator=sampling_generator,
        )
        num_examples, max_physical_batch = len(loss_of), max(1, max_physical_batch // most)

    def run(before_step: Callable[[int], None] | None) -> None:
        update = _Watched(mechanism, optimizer, model)
        with mechanism:
            run_steps(
                loss_of,
                mechanism.accumulate,
                update,
                rows_per_example=rows_per_example,
                draw=draw_as_planned(plan, num_examples, sampling_generator),
                steps=steps,
                max_physical_batch=max_physical_batch,
                before_step=before_step,
                on_step=on_step,
            )

    return run


def _sums(
    model: nn.Module, max_physical_batch: int, plan: PrivacyPlan, engine: Engine
) -> GradientSums:
    """Return what clips and sums; the model is not touched before it is entered."""
    if engine not in get_args(Engine):
        raise ValueError(f"Expected engine in {get_args(Engine)}, got {engine!r}.")
    if engine == "opacus" and plan.sampled == "user":
        raise ValueError(
            "Expected engine 'flat' or 'grouped' where users are drawn, got 'opacus': it needs the "
            "same number of rows of each, and users differ."
        )
    if engine == "opacus":
        return OpacusGradients(model)
    if engine == "grouped" and plan.clip_quantile is not None:
        raise ValueError(
            "Expected engine 'flat' or 'opacus' for a plan with clip_quantile, got 'grouped': its "
            "layers are clipped one by one, so that no gradient is within or beyond the norm."
        )
    return ExampleGradients(model, capacity=max_physical_batch, grouped=engine == "grouped")


def _check_users(plan: PrivacyPlan, num_examples: int, user_of: Sequence[Hashable] | None) -> None:
    """Refuse users that the plan does not know of, and a user with more than the plan allows."""
    if plan.unit == "owner":
        raise ValueError(
            "Expected a plan that hides examples or users, got unit='owner': what an owner trains "
            "is clipped and blurred as a whole, by OwnerSum or OwnerShare. Train without this."
        )
    if plan.unit == "example":
        if user_of is not None:
            raise ValueError(
                "Expected no user_of for a plan whose unit is an example, got one: this plan "
                "protects no users. Calibrate one with unit='user'."
            )
        return
    if user_of is None or len(user_of) != num_examples:
        got = "none" if user_of is None else str(len(user_of))
        raise ValueError(
            f"Expected user_of to name the user of each of {num_examples} examples, got {got}."
        )
    most = plan.examples_per_user
    assert most is not None
    if plan.sampled == "example" and most_of_one_user(user_of) > most:
        raise ValueError(
            f"Expected at most {most} examples of one user, as planned, got a user with more. "
            "Keep that many of each, or calibrate a plan for more examples_per_user."
        )


class _Watched:
    """Update that refuses an adapter that does not learn and a model that remembers examples."""

    def __init__(
        self, mechanism: NoisySum, optimizer: torch.optim.Optimizer, model: nn.Module
    ) -> None:
        self._mechanism = mechanism
        self._optimizer = optimizer
        self._model = model
        self._has_moved = False
        self._buffers = self._state_of_buffers()

    def __call__(self) -> float | None:
        if self._state_of_buffers() != self._buffers:
            raise RuntimeError(
                "Expected a model that keeps nothing of what it sees, got one whose buffers "
                "changed in a step: an example would act in steps that it is not in. Call eval() "
                "on layers with running statistics, or use another base."
            )
        parameters = self._mechanism.parameters
        before = None if self._has_moved else [p.detach().clone() for p in parameters]
        ought = self._mechanism.update() and any(
            float(group["lr"]) > 0 for group in self._optimizer.param_groups
        )
        if before is not None and ought:
            _check_moved(before, parameters)
            self._has_moved = True
        return self._mechanism.released_loss

    def _state_of_buffers(self) -> list[tuple[int, int]]:
        """Return which buffers there are, and how often each was written to."""
        return [(id(buffer), buffer._version) for buffer in self._model.buffers()]


def _check(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: PrivacyPlan,
    steps: int,
    sampling_generator: CounterGenerator,
    noise_generator: CounterGenerator,
) -> None:
    """Refuse a set-up that would train something else, or less privately, than it seems."""
    require_count("steps", steps)
    if steps > plan.steps:
        raise ValueError(
            f"Expected steps <= {plan.steps} as planned, got steps={steps}. Calibrate a plan for "
            "all steps of all rounds."
        )
    for generator in (sampling_generator, noise_generator):
        if not isinstance(generator, CounterGenerator):
            raise TypeError(
                f"Expected a CounterGenerator, got {type(generator).__name__}, whose numbers can "
                "be guessed. Use CounterGenerator.from_os()."
            )
    if sampling_generator.is_same_stream(noise_generator):
        raise ValueError(
            "Expected two independent generators, got one stream twice: the noise would repeat "
            "the coins of the sampling. Make two with CounterGenerator.from_os()."
        )
    _check_parameters(model, optimizer)
    refuse_mixing(model)


def _check_parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimizer that does not hold exactly what learns in the model."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError("Expected a model in which something learns. Attach an adapter first.")
    held = [p for group in optimizer.param_groups for p in group["params"]]
    if {id(p) for p in learning} != {id(p) for p in held}:
        raise ValueError(
            f"Expected the optimizer to hold the {len(learning)} trainable parameters of the "
            f"model, got {len(held)} that are not the same. Make the optimizer after the adapter "
            "is attached and moved to its device (opacus#820)."
        )
    for parameter in learning:
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"Expected trainable parameters of float32 or float64, got {parameter.dtype}: "
                "norms would be off by some 0.5 %. Keep the adapter in float32."
            )


def _check_moved(before: list[torch.Tensor], parameters: list[nn.Parameter]) -> None:
    """Refuse to spend privacy on an adapter that does not learn."""
    if all(torch.equal(old, new.detach()) for old, new in zip(before, parameters, strict=True)):
        raise RuntimeError(
            "Expected a step to move the adapter, got the same parameters after it. The optimizer "
            "holds stale parameters (opacus#820), or its learning rate is below rounding."
        )
