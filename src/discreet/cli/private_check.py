"""`discreet doctor --private`: whether private training of a model keeps its promise.

LoRA with random values is put on a model, and random words and pictures through it, in the shapes
that its configuration asks for. Then `check_exactness` and `fuzz_sensitivity` say what they find.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from peft import LoraConfig, get_peft_model
from rich.markup import escape
from rich.table import Table

from discreet.cli.options import quiet_logs, show_json, talk
from discreet.model import PARTS, Family, Part, Sample, load_family
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


def check_private(
    model: str, *, parts: str, trials: int, cache: Path | None, as_json: bool
) -> None:
    """Print what was found; exit with status 1 if something is wrong."""
    chosen = _parts(parts)
    quiet_logs()
    family = load_family(model, cache_dir=cache)
    targets = family.lora_targets(chosen)
    if not targets:
        raise ValueError(
            f"Expected layers for LoRA in {', '.join(chosen)} of '{family.name}', found none. "
            f"Choose other parts of {', '.join(PARTS)}."
        )
    adapted = _adapt(family, targets)
    patterns = PATTERNS if family.tokens else PATTERNS[-1:]
    if "language" not in chosen:
        patterns = PATTERNS[:-1]  # without a picture nothing of the rest would be used
    found = [_check_pattern(adapted, pictures, place) for place, pictures in enumerate(patterns)]
    moves = {engine: _fuzz(adapted, engine, trials) for engine in get_args(Engines)}
    problems = list(dict.fromkeys(words for pattern in found for words in pattern.problems))
    problems += [_words(engine, moved) for engine, moved in moves.items() if not moved.is_bounded]
    if as_json:
        show_json(
            {
                "model": model,
                "family": family.name,
                "parts": chosen,
                "layers": len(targets),
                "ok": not problems,
                "patterns": [_plain(pattern) for pattern in found],
                "sensitivity": {engine: asdict(report) for engine, report in moves.items()},
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


def _fuzz(family: Family, engine: Engines, trials: int) -> SensitivityReport:
    """Return how far one of some examples of all patterns moves the sum."""
    counts = [count for pattern in PATTERNS for count in (pattern if family.tokens else (0, 0, 0))]
    samples = family.draw(counts, seed=1)
    bound = _length(family, samples[0])
    weights = _SPREAD ** torch.linspace(-1, 1, len(counts))
    losses = _Losses(family, samples, weights=weights)
    return fuzz_sensitivity(
        clipped_sum_of(family.model, losses, max_grad_norm=bound, engine=engine),
        draw_batches(len(counts), most=4),
        max_grad_norm=bound,
        trials=trials,
        seed=0,
        describe=lambda batch: "pictures " + (", ".join(str(counts[i]) for i in batch) or "none"),
    )


def _length(family: Family, sample: Sample) -> float:
    """Return the length of an example's gradient, a bound that clips about half of the others."""
    with ExampleGradients(family.model, capacity=1) as gradients:
        losses = _Losses(family, [sample])([0])
        total = torch.zeros(gradients.size, dtype=torch.float64, device=losses.values.device)
        gradients.add_clipped(losses.values, losses.rows, total, 1.0)
        return float(gradients.by_example().norm()) or 1.0


def _words(engine: str, report: SensitivityReport) -> str:
    """Return what is wrong with a mechanism."""
    if not report.largest and not report.crashes:
        return f"Clipping '{engine}': nothing moved the sum, so that nothing was measured."
    if report.crashes:
        return f"Clipping '{engine}' stops with {report.crashes[0]}. Let loss_of take such a batch."
    return (
        f"Clipping '{engine}' lets one record move the sum by {report.largest:.3g} times "
        f"max_grad_norm ({report.largest_batch}): epsilon would not hold. Do not train with it."
    )


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


def _show(
    name: str,
    parts: Sequence[Part],
    layers: int,
    found: Sequence[_Pattern],
    moves: dict[Engines, SensitivityReport],
    problems: Sequence[str],
) -> None:
    """Print a table for people, and what to do."""
    console = talk()
    console.print(escape(f"{name}: LoRA on {layers} layers of {', '.join(parts)}, random words"))
    table = Table("pictures", "padding", *parts, "alone and in a batch")
    for pattern in found:
        counts = ", ".join(map(str, pattern.pictures))
        report = pattern.report
        cells = [_cell(report, part) for part in parts]
        apart = f"{report.alone_error:.0e}" if report else ""
        verdict = "FAIL" if pattern.problems else "ok"
        table.add_row(counts, pattern.padding, *cells, f"{verdict} {apart}".strip())
    console.print(table)
    for engine, moved in moves.items():
        verdict = "ok" if moved.is_bounded else "FAIL"
        line = (
            f"{verdict}  clipping '{engine}': one record moves the sum by at most "
            f"{moved.largest:.4f} of max_grad_norm in {moved.trials} pairs of batches"
        )
        console.print(escape(line))
    reports = [pattern.report for pattern in found if pattern.report]
    if unused := sorted(set.intersection(*[set(report.unused) for report in reports] or [set()])):
        console.print(escape(_unused(unused)))
    for words in problems:
        console.print(escape(words), style="bold red", soft_wrap=True)


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
