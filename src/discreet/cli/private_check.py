"""`discreet doctor --private`: whether private training of a model keeps its promise.

LoRA with random values is put on a model, and random words and pictures through it, in the shapes
that its configuration asks for. Then `check_exactness` and `fuzz_sensitivity` say what they find.

It reads no adapter and no data: docs/your_model.md says how to check those of your own.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from peft import LoraConfig, get_peft_model
from rich.markup import escape
from rich.table import Table

from discreet.cli.options import quiet_logs, show_json, talk
from discreet.errors import DataError
from discreet.model import EMBEDDED, PARTS, Family, Part, Sample, load_family
from discreet.privacy import (
    ExactnessReport,
    ExampleGradients,
    ExampleLosses,
    SensitivityReport,
    check_exactness,
    clipped_sum_of,
    draw_batches,
    fuzz_sensitivity,
)

PATTERNS: tuple[tuple[int, ...], ...] = ((1, 1, 1), (2, 1, 3), (2, 1, 0), (0, 0, 0))
"""Pictures of the examples of a batch; padded on the right and on the left in turn."""
LAYERS = ("q_proj", "v_proj", "qkv", "attn.proj")
"""Names of the attention layers that `Family.lora_targets` finds."""
IN_ONE_PASS = 1e-4
"""Largest relative error of a gradient that `check_exactness` lets pass."""
ALONE = 1e-3
"""Largest relative difference of a gradient alone and in a batch; for float32."""
_SPREAD = 10.0
"""Losses are weighted from one part in this to this much, so that some examples are clipped."""
_CRASHES = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)

Padding = Literal["left", "right"]
Engines = Literal["flat", "grouped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pattern:
    """What came of one batch."""

    pictures: tuple[int, ...]
    padding: Padding
    report: ExactnessReport | None = field(repr=False)
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Moves:
    """What came of taking examples out of batches, for one way of clipping."""

    report: SensitivityReport
    reached: int
    """Examples whose gradient is longer than the bound, of those that were left out."""
    left_out: int
    """Examples that were left out of some batch."""


def check_private(
    model: str, *, parts: str, trials: int, cache: Path | None, as_json: bool
) -> None:
    """Print what was found; exit with status 1 if something is wrong."""
    chosen = _parts(parts)
    quiet_logs()
    if model not in EMBEDDED and not Path(model).is_dir():
        raise DataError(
            f"Expected {', '.join(EMBEDDED)} or a folder with config.json and safetensors, got "
            f"'{model}', which is no folder: models are not downloaded; name a folder."
        )
    family = load_family(model, cache_dir=cache)
    targets = _targets(family, chosen)
    adapted = _adapt(family, targets)
    patterns = PATTERNS if family.tokens else PATTERNS[-1:]
    if "language" not in chosen:
        patterns = PATTERNS[:-1]  # without a picture nothing of the rest would be used
    found = [_check_pattern(adapted, pictures, place) for place, pictures in enumerate(patterns)]
    moves = _fuzz(adapted, trials)
    problems = list(dict.fromkeys(words for pattern in found for words in pattern.problems))
    problems += [words for engine, moved in moves.items() if (words := _words(engine, moved))]
    if as_json:
        show_json(
            {
                "model": model,
                "family": family.name,
                "parts": chosen,
                "layers": len(targets),
                "ok": not problems,
                "dtype": "float32",
                "patterns": [_plain(pattern) for pattern in found],
                "sensitivity": {engine: _plain_moves(moved) for engine, moved in moves.items()},
                "problems": problems,
            }
        )
    else:
        _show(family.name, chosen, len(targets), found, moves, problems)
    if problems:
        raise SystemExit(1)


def _parts(words: str) -> list[Part]:
    """Return the parts that a comma-separated list names."""
    named = [word.strip() for word in words.split(",") if word.strip()]
    if not named or not set(named) <= set(get_args(Part)):
        raise ValueError(
            f"Expected parts among {', '.join(PARTS)}, separated by commas, got '{words}'."
        )
    return [part for part in PARTS if part in named]


def _targets(family: Family, parts: Sequence[Part]) -> list[str]:
    """Return the layers to put LoRA on; refuse a model in which none is known."""
    if targets := family.lora_targets(parts):
        return targets
    if not family.lora_targets(PARTS):
        raise ValueError(
            f"Expected linear layers that this command knows, got '{family.name}': it knows layers "
            f"{', '.join(LAYERS)}; '{family.name}' has none. Put your own adapter on it and call "
            "check_exactness() from Python (docs/your_model.md)."
        )
    raise ValueError(
        f"Expected layers for LoRA in {', '.join(parts)} of '{family.name}', found none. "
        f"Choose other parts of {', '.join(PARTS)}."
    )


def _adapt(family: Family, targets: list[str]) -> Family:
    """Return the model with LoRA that changes what it says: with B at zero, A would not learn."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LoraConfig(r=4, lora_alpha=1, target_modules=targets, init_lora_weights=False)
        return replace(family, model=get_peft_model(family.model, config))


@dataclass(frozen=True, slots=True)
class _Losses:
    """Losses of samples, with whose the rows are that each part sees."""

    family: Family
    samples: Sequence[Sample]
    padding: Padding = "right"
    weights: torch.Tensor | None = None

    def __call__(self, drawn: Sequence[int]) -> ExampleLosses:
        chosen = [self.samples[index] for index in drawn]
        values = self.family.losses(chosen, padding=self.padding)
        if self.weights is not None:
            values = values * self.weights[list(drawn)].to(values.device)
        return ExampleLosses(values=values, rows=self.family.rows(chosen))


def _check_pattern(family: Family, pictures: tuple[int, ...], place: int) -> _Pattern:
    """Check one batch; a model that fails on it is a finding."""
    padding: Padding = "left" if place % 2 else "right"
    losses = _Losses(family, family.draw(pictures, seed=place), padding)
    try:
        report = check_exactness(family.model, losses, [range(len(pictures))])
    except _CRASHES as error:
        counts = ", ".join(map(str, pictures))
        words = f"With {counts} pictures in a batch: {type(error).__name__}: {error}"
        return _Pattern(pictures=pictures, padding=padding, report=None, problems=(words,))
    return _Pattern(pictures=pictures, padding=padding, report=report, problems=report.problems)


def _fuzz(family: Family, trials: int) -> dict[Engines, _Moves]:
    """Return how far one of some examples of all patterns moves the sum, for each clipping."""
    counts = [count for pattern in PATTERNS for count in (pattern if family.tokens else (0, 0, 0))]
    order = torch.randperm(len(counts), generator=torch.Generator().manual_seed(0))
    weights = (_SPREAD ** torch.linspace(-1, 1, len(counts)))[order]
    losses = _Losses(family, family.draw(counts, seed=1), weights=weights)
    lengths = _lengths(family, losses)
    bound = float(lengths[lengths > 0].median()) if lengths.any() else 1.0
    draw, chance = draw_batches(len(counts), most=4), torch.Generator().manual_seed(0)
    pairs = [draw(chance) for _ in range(trials)]
    left_out = {batch[place] for batch, place in pairs}
    # Whatever is longer than the bound is clipped in some layer too, to bound / sqrt(layers).
    reached = sum(float(lengths[index]) > bound for index in left_out)
    moves: dict[Engines, _Moves] = {}
    for engine in get_args(Engines):
        report = fuzz_sensitivity(
            clipped_sum_of(family.model, losses, max_grad_norm=bound, engine=engine),
            _replay(pairs),
            max_grad_norm=bound,
            trials=trials,
            seed=0,
            describe=lambda batch: (
                "pictures " + (", ".join(str(counts[i]) for i in batch) or "none")
            ),
        )
        moves[engine] = _Moves(report=report, reached=reached, left_out=len(left_out))
    return moves


def _replay(
    pairs: Sequence[tuple[Sequence[int], int]],
) -> Callable[[torch.Generator], tuple[Sequence[int], int]]:
    """Return a source of these batches, one after the other."""
    following = iter(pairs)
    return lambda _: next(following)


def _lengths(family: Family, losses: "_Losses") -> torch.Tensor:
    """Return the length of each example's gradient, (N,); 0 where it cannot be computed."""
    found = torch.zeros(len(losses.samples), dtype=torch.float64)
    for index in range(len(found)):
        try:
            with ExampleGradients(family.model, capacity=1) as gradients:
                alone = losses([index])
                total = torch.zeros(gradients.size, dtype=torch.float64, device=alone.values.device)
                gradients.add_clipped(alone.values, alone.rows, total, 1.0)
                found[index] = float(gradients.by_example().norm())
        except _CRASHES:  # the same happens again where it is counted
            continue
    return found


def _words(engine: str, moved: _Moves) -> str:
    """Return what is wrong with a mechanism; nothing if nothing is."""
    report = moved.report
    if report.crashes:
        return f"Clipping '{engine}' stops with {report.crashes[0]}. Let loss_of take such a batch."
    if not report.largest:
        return f"Clipping '{engine}': nothing moved the sum, so that nothing was measured."
    if not report.is_bounded:
        return (
            f"Clipping '{engine}' lets one record move the sum by {report.largest:.3g} times "
            f"max_grad_norm ({report.largest_batch}): epsilon would not hold. Do not train with it."
        )
    if not moved.reached:
        return (
            f"Clipping '{engine}': no example reached the bound, so clipping was not tried. Ask "
            "for more --trials, or for other --parts."
        )
    return ""


def _plain(pattern: _Pattern) -> dict[str, object]:
    """Return a pattern for JSON."""
    report = asdict(pattern.report) if pattern.report else None
    return {
        "pictures": pattern.pictures,
        "padding": pattern.padding,
        "ok": not pattern.problems,
        "report": report,
        "problems": pattern.problems,
    }


def _plain_moves(moved: _Moves) -> dict[str, object]:
    """Return what came of taking examples out, for JSON."""
    return {**asdict(moved.report), "reached": moved.reached, "left_out": moved.left_out}


def _show(
    name: str,
    parts: Sequence[Part],
    layers: int,
    found: Sequence[_Pattern],
    moves: dict[Engines, _Moves],
    problems: Sequence[str],
) -> None:
    """Print a table for people, and what to do."""
    console = talk()
    lines = (
        f"{name}: LoRA of this check's own on {layers} layers of {', '.join(parts)}, random words",
        "checked in float32 (bf16 bases round more; see docs/sharp_edges.md)",
    )
    for line in lines:
        console.print(escape(line), soft_wrap=True)
    table = Table("pictures", "padding", *parts, "alone and in a batch")
    for pattern in found:
        counts = ", ".join(map(str, pattern.pictures))
        report = pattern.report
        cells = [_cell(report, part) for part in parts]
        apart = f"{report.alone_error:.0e}" if report else ""
        verdict = "FAIL" if pattern.problems else "ok"
        table.add_row(counts, pattern.padding, *cells, f"{verdict} {apart}".strip())
    console.print(table)
    console.print(escape(_NUMBERS), soft_wrap=True)
    for engine, moved in moves.items():
        verdict = "FAIL" if _words(engine, moved) else "ok"
        line = (
            f"{verdict}  clipping '{engine}': one record moves the sum by at most "
            f"{moved.report.largest:.4f} of max_grad_norm in {moved.report.trials} pairs of "
            f"batches; {moved.reached} of the {moved.left_out} examples left out reached the bound"
        )
        console.print(escape(line), soft_wrap=True)
    reports = [pattern.report for pattern in found if pattern.report]
    if unused := sorted(set.intersection(*[set(report.unused) for report in reports] or [set()])):
        console.print(escape(_unused(unused)))
    for words in problems:
        console.print(escape(words), style="bold red", soft_wrap=True)
    console.print(escape(_verdict(len(problems))), soft_wrap=True)


_NUMBERS = (
    "Numbers are relative errors. Of parts: how far an example's gradient is from that of one "
    f"backward pass of its own; up to {IN_ONE_PASS:.0e} is ok. In the last column: how far it is "
    f"from that of the example alone; up to {ALONE:.0e} is ok."
)


def _verdict(problems: int) -> str:
    """Return what all of it comes to."""
    if problems:
        found = "1 thing" if problems == 1 else f"{problems} things"
        return f"Verdict: FAIL. {found} to mend before private training of this model."
    return (
        "Verdict: ok. Private steps were exact and bounded in all that was tried, which is a "
        "measurement and no proof. Check your own adapter and data too (docs/your_model.md)."
    )


def _cell(report: ExactnessReport | None, part: Part) -> str:
    """Return the verdict on one part of the model for one batch."""
    if report is None:
        return "FAIL"
    if part not in report.by_part:
        return "no layers"
    return f"{'ok' if report.is_exact_in(part) else 'FAIL'} {report.by_part[part]:.0e}"


def _unused(names: Sequence[str]) -> str:
    return (
        f"{len(names)} tensors got no gradient from any example, '{names[0]}' is the first: the "
        "model does not use them. They would learn nothing but noise; leave them out."
    )
