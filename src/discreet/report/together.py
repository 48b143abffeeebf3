"""Several runs, and what privacy costs, on one page: side by side first, then each run whole.

html = page_of_runs([read_run(RunFolder.open(path)) for path in paths])
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from discreet.report.audits import ORDER
from discreet.report.frontier import frontier_body
from discreet.report.plots import line_plot
from discreet.report.record import RoundRecord, RunRecord
from discreet.report.run_page import MISSING, Chart, body_of, rounds_in
from discreet.report.templates import in_shell, render, size_in_words
from discreet.types import rounded_up

MOST = 6
"""Runs on one page: more colours nobody tells apart."""
_ALIKE = ("reproducible", "seed")
"""Fields that are told even where all runs agree."""


def page_of_runs(records: Sequence[RunRecord], frontiers: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return one page of several runs and of frontiers as HTML.

    Args:
        records: At most `MOST` runs.
        frontiers: Records of `discreet bench frontier`.

    Raises:
        ValueError: if there is nothing, or there are too many runs.
        ArtifactCorrupt: if a frontier is no such record.
    """
    if not (records or frontiers) or len(records) > MOST:
        raise ValueError(
            f"Expected a run or a frontier or more, and {MOST} runs at most, got {len(records)} "
            "runs. Make two pages."
        )
    parts = [_beside(records)] if records else []
    parts += [
        frontier_body(one, heading="h2" if records or len(frontiers) > 1 else "h1")
        for one in frontiers
    ]
    parts += [
        Markup("<details class='whole'><summary>Run {}, whole</summary>\n{}</details>").format(
            record.run, body_of(record, heading="h2", anchor=f"run-{place}-")
        )
        for place, record in enumerate(records, start=1)
    ]
    title = ", ".join(names_of(records)) if records else "What privacy costs"
    return in_shell(title, *parts)


def names_of(records: Sequence[RunRecord]) -> list[str]:
    """Return a name for each run; runs of one name are numbered."""
    names = [record.run for record in records]
    return [
        f"{name} ({place + 1})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _beside(records: Sequence[RunRecord]) -> Markup:
    names = names_of(records)
    return render(
        "runs.html",
        names=names,
        facts=[(name, [tell(record) for record in records]) for name, tell in _FACTS.items()],
        differing=list(_differing(records)),
        charts=list(_charts(records, names)),
        audits=list(_audits(records)),
        missing=MISSING,
    )


def _spent(record: RunRecord) -> str:
    if record.is_plain:
        return "not private"
    if record.worst is None:
        return MISSING
    said = " (its own word)" if record.is_said else ""
    return f"{rounded_up(record.worst.epsilon)} {record.worst.qualified}{said}"


def _seconds(record: RunRecord) -> str:
    known = [one.seconds for one in record.rounds if one.seconds is not None]
    return f"{sum(known):,.0f} s" if known else MISSING


def _last(record: RunRecord, value: Callable[[RoundRecord], float | None]) -> str:
    known = [found for one in record.rounds if (found := value(one)) is not None]
    return f"{known[-1]:.4g}" if known else MISSING


_FACTS: Mapping[str, Callable[[RunRecord], str]] = {
    "epsilon of the worst owner": _spent,
    "rounds done": lambda one: f"{rounds_in(one)} of {one.config.get('num_rounds', '–')}",
    "sent, both ways": lambda one: (
        MISSING if one.total_bytes is None else size_in_words(one.total_bytes)
    ),
    "time of all rounds": _seconds,
    "last loss (local)": lambda one: _last(one, lambda done: done.loss),
    "last loss (released)": lambda one: _last(one, lambda done: done.released_loss),
    "base, SHA-256": lambda one: one.card.base_sha256[:12] if one.card else MISSING,
    "adapter, SHA-256": lambda one: one.card.adapter_sha256[:12] if one.card else MISSING,
    "chance": lambda one: one.card.randomness if one.card else MISSING,
}


def _differing(records: Sequence[RunRecord]) -> Iterator[tuple[str, list[str]]]:
    """Yield fields of the plans that are not the same in all runs, with what each says."""
    for name in dict.fromkeys(name for record in records for name in record.config):
        said = [str(record.config.get(name, MISSING)) for record in records]
        if len(set(said)) > 1 or name in _ALIKE:
            yield name, said


def _charts(records: Sequence[RunRecord], names: Sequence[str]) -> Iterator[Chart]:
    """Yield curves of all runs over their rounds; what no run has is left out."""
    numbers = sorted({one.number for record in records for one in record.rounds})
    curves: dict[str, tuple[Callable[[RoundRecord], float | None], bool, str]] = {
        "Epsilon so far": (
            lambda one: one.worst.epsilon if one.worst else None,
            True,
            "Of the worst owner by the end of each round; units and neighbours are in the table.",
        ),
        "Training loss (local)": (
            lambda one: one.loss,
            False,
            "Exact, and so not private: it must stay where the owners' data are.",
        ),
        "Training loss (released)": (
            lambda one: one.released_loss,
            False,
            "Clipped and noisy; its cost is in epsilon.",
        ),
        "Seconds": (lambda one: one.seconds, True, "Of each round."),
    }
    for title, (value, has_zero, note) in curves.items():
        series = {
            name: _over(record, numbers, value) for name, record in zip(names, records, strict=True)
        }
        plot = line_plot(title, numbers, series, tell="{:.4g}".format, has_zero=has_zero)
        if plot is not None:
            yield Chart(title, plot, note)


def _over(
    record: RunRecord, numbers: Sequence[int], value: Callable[[RoundRecord], float | None]
) -> list[float | None]:
    known = {one.number: value(one) for one in record.rounds}
    return [known.get(number) for number in numbers]


def _audits(records: Sequence[RunRecord]) -> Iterator[tuple[str, list[str]]]:
    """Yield the title of each audit that some run was asked, with what it says first of each."""
    found = [{one.audit: one for one in record.audits} for record in records]
    asked = {name: one.title for own in found for name, one in own.items()}
    order = [*ORDER, *sorted(set(asked) - set(ORDER))]
    for name in order:
        if name in asked:
            said = [own[name].verdict if name in own else "not asked" for own in found]
            yield asked[name], said
