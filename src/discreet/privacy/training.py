"""Differentially private training of an adapter, on one device, with its spending recorded first.

Gradients of single examples are clipped to `max_grad_norm`, summed, blurred by Gaussian noise and
divided by a public number (Abadi et al. 2016, Algorithm 1, arXiv:1607.00133). Opacus computes the
gradients by hooks on the model as it is, clips and adds noise; this file decides what an example
is, what a batch is, and that nothing else gets through.

Guarantee:
    With `spend`, all states of the trainable parameters after all steps that the ledger holds for
    an owner are together (epsilon, delta)-differentially private for adding or removing one
    example, with the epsilon of `PrivacyLedger.spent`. Empty batches, examples with several rows
    and examples whose gradient is not finite are covered.

    It rests on what code cannot see: `loss_of` gives each example a loss that depends on no other
    example; rows stay in the first dimension of every trainable layer, in order; the optimizer's
    settings and the number of steps do not depend on the data.

    It does not cover: `StepRecord` (loss, batch size and rejected count come without noise and
    stay on the device); a person with several examples, whose epsilon is larger; time and memory
    use; whoever knows the generators' seeds, who can remove the noise. The Gaussian is sampled in
    floating point from a generator that is not cryptographic, so attacks on low-order bits
    (Mironov 2012) are not excluded. Clipping is exact to float32 rounding.

One step:
    drawn = each example with chance sample_rate
    g_i   = sum over the rows of example i of the row's gradient; 0 if not finite
    total = sum of g_i * min(1, max_grad_norm / |g_i|) + noise_multiplier * max_grad_norm * N(0, 1)
    optimizer.step with gradient total / expected_batch_size
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from opacus.grad_sample import GradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import nn

from discreet.privacy.batching import LossFn, StepRecord, run_steps
from discreet.privacy.ledger import PrivacyLedger
from discreet.privacy.plan import PrivacyPlan, require_count
from discreet.types import OwnerId, PrivacyStatement

_ON_PARAMETERS = ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample")
_ON_MODULES = ("activations", "max_batch_len")


def spend(
    ledger: PrivacyLedger,
    owner: OwnerId,
    model: nn.Module,
    loss_of: LossFn,
    *,
    num_examples: int,
    rows_per_example: int,
    plan: PrivacyPlan,
    steps: int,
    optimizer: torch.optim.Optimizer,
    sampling_generator: torch.Generator,
    noise_generator: torch.Generator,
    max_physical_batch: int = 8,
    on_step: Callable[[StepRecord], None] | None = None,
) -> PrivacyStatement:
    """Charge `steps` steps to the owner, then train; return what the owner has spent in all.

    Arguments are those of `fit_private`. If training fails, the charge stays: some of the steps
    may have been seen.

    Raises:
        BudgetExhausted: if the steps would pass the target. Nothing is charged or trained.
        ValueError: if `plan` is not the account's, or the set-up is unsafe. Nothing is trained.
        OSError: if the charge cannot be written. Nothing is trained.
    """
    _check(model, optimizer, plan, steps, sampling_generator, noise_generator)
    ledger.charge(owner, steps=steps, plan=plan)
    fit_private(
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
        on_step=on_step,
    )
    return ledger.spent(owner)


def fit_private(
    model: nn.Module,
    loss_of: LossFn,
    *,
    num_examples: int,
    rows_per_example: int,
    plan: PrivacyPlan,
    steps: int,
    optimizer: torch.optim.Optimizer,
    sampling_generator: torch.Generator,
    noise_generator: torch.Generator,
    max_physical_batch: int = 8,
    on_step: Callable[[StepRecord], None] | None = None,
) -> None:
    """Train the parameters of `optimizer` by DP-SGD. Charges nothing; `spend` does.

    The model comes back without hooks, in the modes it had and without gradients, whatever
    happens.

    Args:
        model: Only parameters with `requires_grad` learn; they must be float32 or float64.
        loss_of: Indices of N examples -> their losses (N,). It runs the model on
            N * `rows_per_example` rows, in order: all rows of the first example, then the next.
        num_examples: Size of the data, which is private. 0 gives pure noise.
        rows_per_example: Rows of one example; they are clipped together, as one gradient.
        plan: The public settings.
        steps: How many of the plan's steps to take now.
        optimizer: Holds exactly the trainable parameters of `model`.
        sampling_generator: Decides which examples are drawn.
        noise_generator: Decides the noise; on the device of the parameters.
        max_physical_batch: Examples in memory at once. Changes speed, not the result.
        on_step: Told about each step; what it is told must not leave the device.

    Raises:
        ValueError: if the set-up is unsafe, before the model is touched.
        RuntimeError: if a layer gives no gradient for each row, or no parameter moved.

    Source: Abadi et al. 2016, Algorithm 1 (arXiv:1607.00133).
    """
    _check(model, optimizer, plan, steps, sampling_generator, noise_generator)
    require_count("rows_per_example", rows_per_example)
    require_count("max_physical_batch", max_physical_batch)
    with _row_gradients(model) as layers:
        mechanism = _ClippedNoisySum(optimizer, plan, layers, rows_per_example, noise_generator)
        run_steps(
            loss_of,
            mechanism.accumulate,
            mechanism.update,
            num_examples=num_examples,
            sample_rate=plan.sample_rate,
            steps=steps,
            sampling_generator=sampling_generator,
            max_physical_batch=max_physical_batch,
            on_step=on_step,
        )


class _ClippedNoisySum:
    """The Gaussian mechanism of one step: takes in losses, releases one noisy update."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        plan: PrivacyPlan,
        layers: list[nn.Module],
        rows_per_example: int,
        noise_generator: torch.Generator,
    ) -> None:
        # "mean" is Opacus' word for a division by expected_batch_size, a public constant; with
        # "sum" it is ignored. The hooks get "sum", because our losses are summed.
        self._optimizer = DPOptimizer(
            optimizer,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.max_grad_norm,
            expected_batch_size=plan.expected_batch_size,
            loss_reduction="mean",
            generator=noise_generator,
        )
        self._parameters: list[nn.Parameter] = self._optimizer.params
        self._layers = layers
        self._rows_per_example = rows_per_example
        self._has_moved = False

    def accumulate(self, losses: torch.Tensor) -> int:
        """Add the clipped gradients of some examples to the sum; return how many were rejected."""
        self._check_rows(len(losses) * self._rows_per_example)
        _backward(losses.sum())
        gradients = [self._fold(parameter, len(losses)) for parameter in self._parameters]
        norms = torch.stack([g.flatten(1).norm(dim=1).cpu() for g in gradients])  # (P, N)
        keep = norms.isfinite().all(dim=0) & losses.detach().isfinite().cpu()  # (N,)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            gradient[~keep.to(gradient.device)] = 0
            parameter.grad_sample = gradient  # type: ignore[attr-defined]
        self._optimizer.signal_skip_step(do_skip=True)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return int((~keep).sum())

    def update(self) -> None:
        """Add noise to the sum, move the parameters and start a new sum.

        The last part of a batch is an empty one. So an empty batch needs no case of its own: its
        sum is zero and what is released is pure noise.
        """
        for parameter in self._parameters:
            nothing = torch.zeros_like(parameter).unsqueeze(0)[:0]  # (0, *shape)
            parameter.grad_sample = nothing  # type: ignore[attr-defined]
        before = None if self._has_moved else [p.detach().clone() for p in self._parameters]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if before is not None and any(float(g["lr"]) > 0 for g in self._optimizer.param_groups):
            _check_moved(before, self._parameters)
            self._has_moved = True

    def _check_rows(self, rows: int) -> None:
        """Refuse a layer that saw another number of rows: Opacus would pad it without a word."""
        for layer in self._layers:
            for inputs in getattr(layer, "activations", ()):
                if inputs and len(inputs[0]) != rows:
                    raise RuntimeError(_bad_rows(rows, str(len(inputs[0]))))

    def _fold(self, parameter: nn.Parameter, num_examples: int) -> torch.Tensor:
        """Return the gradients of examples, (N, *shape), from those of rows, (N * R, *shape)."""
        rows = num_examples * self._rows_per_example
        found = getattr(parameter, "grad_sample", None)
        if not isinstance(found, torch.Tensor) or len(found) != rows:
            got = "none" if found is None else str(len(found))
            raise RuntimeError(_bad_rows(rows, got))
        by_row = found.detach().to(parameter.dtype)
        return by_row.reshape(num_examples, self._rows_per_example, *parameter.shape).sum(dim=1)


def _bad_rows(rows: int, got: str) -> str:
    """Return why gradients of single examples cannot be told apart."""
    return (
        f"Expected each trainable layer to see the {rows} rows of the examples in its first "
        f"dimension, got {got}. Adapt no layer of the vision tower, run each layer in every part, "
        "and turn non-reentrant gradient checkpointing off."
    )


def _backward(total: torch.Tensor) -> None:
    """Run the backward pass that makes Opacus' hooks compute gradients of rows."""
    with warnings.catch_warnings():
        # The first adapted layer reads frozen activations. That its hook sees gradients of outputs
        # only is all that is needed: Opacus multiplies them with the activations it kept.
        warnings.filterwarnings("ignore", message="Full backward hook is firing when gradients")
        total.backward()


@contextmanager
def _row_gradients(model: nn.Module) -> Iterator[list[nn.Module]]:
    """Make every backward pass leave gradients of single rows, and remove all traces at the end.

    Yields the layers whose parameters learn.

    Opacus ignores a layer in evaluation mode, so that the layers with trainable parameters are
    switched to training mode; the rest of the model keeps its modes.
    """
    layers = _trainable_layers(model)
    modes = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.training = True
        hooks = GradSampleHooks(model, loss_reduction="sum", strict=True)
        try:
            yield layers
        finally:
            hooks.remove_hooks()
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode
            _forget(layer, _ON_MODULES)
        for parameter in model.parameters():
            _forget(parameter, _ON_PARAMETERS)
            if parameter.requires_grad:
                parameter.grad = None  # after an exception it is the sum without noise


def _forget(holder: object, names: tuple[str, ...]) -> None:
    """Delete attributes that Opacus hung on a layer or parameter; they hold raw gradients."""
    for name in names:
        if name in vars(holder):
            delattr(holder, name)


def _trainable_layers(model: nn.Module) -> list[nn.Module]:
    """Return the modules that own a parameter that learns."""
    return [
        module
        for module in model.modules()
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    ]


def _check(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: PrivacyPlan,
    steps: int,
    sampling_generator: torch.Generator,
    noise_generator: torch.Generator,
) -> None:
    """Refuse a set-up that would train something else, or less privately, than it seems."""
    require_count("steps", steps)
    if steps > plan.steps:
        raise ValueError(
            f"Expected steps <= {plan.steps} as planned, got steps={steps}. Calibrate a plan for "
            "all steps of all rounds."
        )
    if torch.equal(sampling_generator.get_state(), noise_generator.get_state()):
        raise ValueError(
            "Expected two independent generators, got two in the same state: the noise would "
            "repeat the coins of the sampling. Seed them differently."
        )
    _check_parameters(model, optimizer, noise_generator)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise ValueError(
                "Expected no batch normalisation in training mode, got one: it mixes the examples "
                "of a batch. Call eval() on it."
            )


def _check_parameters(
    model: nn.Module, optimizer: torch.optim.Optimizer, noise_generator: torch.Generator
) -> None:
    """Refuse an optimizer that does not hold exactly what learns in the model."""
    if isinstance(optimizer, DPOptimizer):
        raise ValueError("Expected a plain optimizer, got Opacus' DPOptimizer. Pass what it wraps.")
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    held = [p for group in optimizer.param_groups for p in group["params"]]
    if not learning or {id(p) for p in learning} != {id(p) for p in held}:
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
        if parameter.device.type != noise_generator.device.type:
            raise ValueError(
                f"Expected noise_generator on {parameter.device.type}, got one on "
                f"{noise_generator.device.type}. Make it with torch.Generator(device=...)."
            )


def _check_moved(before: list[torch.Tensor], parameters: list[nn.Parameter]) -> None:
    """Refuse to spend privacy on an adapter that does not learn."""
    if all(torch.equal(old, new.detach()) for old, new in zip(before, parameters, strict=True)):
        raise RuntimeError(
            "Expected a step to move the adapter, got the same parameters after it. The optimizer "
            "holds stale parameters (opacus#820), or its learning rate is below rounding."
        )
