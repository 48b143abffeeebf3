"""A run as one HTML page that needs nothing else: no script, no request, no other file.

    html = page_of(read_run(RunFolder.open(Path("runs/first"))))

Decides what is said and in which words; `run.html` beside this file decides how it looks.
Jinja2 escapes every word that comes from the folder, and the page's own policy forbids a browser
to load anything. Loss is marked local: a page made of an exported run has none.
"""

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from discreet.report.audits import section_of
from discreet.report.plots import Plot, bar_plot, line_plot
from discreet.report.record import NAMES, RunRecord
from discreet.report.templates import in_shell, render, size_in_words
from discreet.types import FLOWERTUNE_MIB, meaning, rounded_up

MISSING = "not recorded"
"""Stands for what a run folder does not say."""

MOST_ROWS = 20
"""Rows of a table that is shown at once; a longer one is folded."""

_TRAINED = {
    "base": "base model",
    "objective": "learns",
    "examples": "kind of example",
    "num_owners": "owners",
    "num_rounds": "rounds planned",
    "local_steps": "steps of an owner a round",
    "aggregation": "aggregation",
    "secure_aggregation": "secure aggregation",
    "unit": "unit of privacy",
}
"""Fields of the plan that are told first, where the plan has them -> how they are named."""


class Chart(NamedTuple):
    """A plot, or why there is none."""

    title: str
    plot: Plot | None
    note: str


def page_of(record: RunRecord) -> str:
    """Return the page of a run as HTML."""
    return in_shell(f"Run {record.run}", body_of(record))


def body_of(record: RunRecord, *, heading: str = "h1", anchor: str = "") -> Markup:
    """Return all that is said of a run; `heading` is the element of its name."""
    return render(
        "run.html",
        heading=heading,
        record=record,
        missing=MISSING,
        target=record.target,
        meaning=record.worst and meaning(record.worst.unit, record.worst),
        sent=_against_budget(record),
        partly=_partly(record),
        most_rows=MOST_ROWS,
        facts=list(_facts(record)),
        warnings=list(_warnings(record)),
        charts=list(_charts(record)),
        limits=list(_limits(record)),
        has_loss=any(one.loss is not None for one in record.rounds),
        has_released_loss=any(one.released_loss is not None for one in record.rounds),
        local=_local(record),
        audits=section_of(
            record.audits, record.card.adapter_sha256 if record.card else None, anchor=anchor
        ),
        has_unsettled=any(one.unsettled is not None for one in record.owners),
        has_faults=any(one.faults for one in record.rounds),
        has_norm=any(one.clip_norm is not None for one in record.rounds),
    )


def _local(record: RunRecord) -> str:
    """Return what on the page must stay where the run is; empty: nothing."""
    held = {
        "local numbers (loss)": any(one.loss is not None for one in record.rounds),
        "what audits found": bool(record.audits),
        "names of owners": NAMES in record.files,
    }
    return ", ".join(name for name, is_there in held.items() if is_there)


def rounds_in(record: RunRecord) -> int:
    """Return how many rounds are in the adapter; a plain run has no lines that say so."""
    return record.card.rounds_done if record.card else record.rounds_done


def _facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield what was trained, as names and values."""
    card = record.card
    for name, said in _TRAINED.items():
        if name in record.config:
            yield said, _plain(record.config[name])
    yield "rounds done", str(rounds_in(record))
    if card is None:
        yield "adapter", "none was published"
        return
    yield "adapter", f"rank {card.lora.get('r', '?')}, SHA-256 {card.adapter_sha256[:12]}"
    yield "base, SHA-256", card.base_sha256[:12]
    yield "licence of the data", card.data_licence
    yield "chance", card.randomness
    yield "code", card.commit or MISSING
    yield "written", card.created


def _warnings(record: RunRecord) -> Iterator[str]:
    """Yield what has to be read before any number."""
    seeded = record.config.get("reproducible") or (record.card and record.card.reproducible)
    if seeded or any(owner.seeded for owner in record.owners):
        yield (
            "Not private: noise was drawn from a public seed, and whoever knows it can take the "
            "noise out again. The numbers below promise nothing."
        )
    if record.is_plain:
        yield (
            "Not private: trained without clipping and noise, whatever the plan asks for. Nothing "
            "is promised."
        )
    if any(owner.spent is None for owner in record.owners):
        yield "An owner's epsilon is beyond what can be computed: nothing is promised there."
    target = record.target
    if target and record.worst and record.worst.epsilon > target.epsilon:
        spent = "says it spent" if record.is_said else "spent"
        yield f"An owner {spent} more than the plan of this run allows."
    if not record.owners:
        yield "Nothing in this folder says what was spent: take it for no guarantee at all."
    if any(owner.unsettled for owner in record.owners):
        yield (
            "Some steps were reserved and not settled: a training was killed, or goes on. Nobody "
            "knows how many of them were started, so all of them count."
        )
    if record.ended is not None:
        yield f"Training ended before its last round. {record.ended}"


def _against_budget(record: RunRecord) -> str:
    """Return what was sent beside the budget of a known contest."""
    if record.total_bytes is None:
        return MISSING
    share = record.total_bytes / (FLOWERTUNE_MIB * 2**20)
    percent = "less than 0.01%" if share < 1e-4 else f"{share:.2%}"
    return (
        f"{size_in_words(record.total_bytes)} both ways{_partly(record)}, {percent} of the "
        f"{FLOWERTUNE_MIB:,} MiB that FlowerTune's leaderboard allows a run"
    )


def _partly(record: RunRecord) -> str:
    """Return in how many rounds bytes were counted, where it was not in all."""
    if record.rounds_with_bytes == len(record.rounds):
        return ""
    return f" in {record.rounds_with_bytes} of {len(record.rounds)} rounds, in the others not known"


def _charts(record: RunRecord) -> Iterator[Chart]:
    """Yield the plots over rounds, or that there is nothing to plot."""
    rounds = record.rounds
    numbers, target = [one.number for one in rounds], record.target
    kind = next((f", {one.worst.qualified}" for one in rounds if one.worst), "")
    spent = {
        "worst owner": [one.worst.epsilon if one.worst else None for one in rounds],
        "mean of owners": [one.mean_epsilon for one in rounds],
    }
    limit = ("target", target.epsilon) if target else None
    yield Chart(
        "Epsilon so far",
        line_plot("Epsilon so far", numbers, spent, limit=limit, tell=rounded_up),
        f"What nodes had said by the end of each round{kind}.",
    )
    nodes = {
        "replies": [one.replies for one in rounds],
        "dropped": [sum(one.dropped.values()) or None for one in rounds],
    }
    yield Chart(
        "Owners",
        bar_plot("Owners", numbers, nodes, least_step=1.0),
        "Replies that made the average.",
    )
    megabytes = {
        "to owners": [_millions(one.bytes_down) for one in rounds],
        "from owners": [_millions(one.bytes_up) for one in rounds],
    }
    sent = _against_budget(record)
    yield Chart(
        "Megabytes",
        bar_plot("Megabytes", numbers, megabytes, tell="{:.3g} MB".format),
        f"Array bytes: {sent}.",
    )
    seconds = {"seconds": [one.seconds for one in rounds]}
    yield Chart(
        "Seconds", bar_plot("Seconds", numbers, seconds, tell="{:.1f} s".format), "Of each round."
    )
    yield from _losses(record)


def _losses(record: RunRecord) -> Iterator[Chart]:
    """Yield losses, each kind on an axis of its own: they are not on one scale."""
    rounds = record.rounds
    numbers = [one.number for one in rounds]
    released = {"noisy, mean of owners": [one.released_loss for one in rounds]}
    local = {"exact, mean of owners": [one.loss for one in rounds]}
    plot = line_plot("Released loss", numbers, released, tell="{:.4g}".format, has_zero=False)
    if plot:
        yield Chart(
            "Training loss (released)",
            plot,
            "Clipped and noisy sum over the public expected_batch_size; its cost is in epsilon. "
            "Not on the scale of the local loss, which divides by how many were drawn.",
        )
    exact = line_plot("Training loss", numbers, local, tell="{:.4g}".format, has_zero=False)
    if exact:
        yield Chart(
            "Training loss (local)",
            exact,
            "Exact, of who was drawn, and so not private: it must stay where the owners' data are."
            + (" Not on the scale of the released loss." if plot else ""),
        )


def _limits(record: RunRecord) -> Iterator[str]:
    """Yield what this run does not protect."""
    config = record.config
    unit, is_secure = config.get("unit"), bool(config.get("secure_aggregation"))
    if unit == "example":
        yield (
            "A person with several examples as the number says. The unit is one example; whoever "
            "has more is protected less: discreet privacy spent RUN --examples-per-user K."
        )
    if unit in ("example", "user"):
        yield "An owner as a whole: what is common to all of an owner's data can be learnt."
    yield _of_the_server(unit, is_secure)
    if record.owners_from == "ledger.jsonl":
        yield (
            "Owners from each other where they trained. Their accounts lie in one ledger, so all "
            "of them did so on one machine, and nothing kept them apart."
        )
    yield (
        "Who took part, when, for how long and with how many bytes; which error made a node drop "
        "out. The server sees all of it, and epsilon covers none of it."
    )
    yield (
        "Data that were used beside the ledger: plans that were tried on them, other copies, a "
        "second ledger, a ledger that was deleted."
    )
    yield "Local records: loss and batch sizes are computed without noise."
    yield (
        "The adapter from an owner who sends nonsense, or anybody from its wrong answers. Epsilon "
        "bounds what can be learnt of the data and says nothing else."
    )


def _of_the_server(unit: object, is_secure: bool) -> str:
    """Return what the server sees of an owner."""
    if is_secure:
        return (
            "An owner's update from a server that colludes: secure aggregation hides it while "
            "fewer owners than its threshold help the server."
        )
    if unit == "owner":
        return (
            "An owner from the server. The noise is added there, so the server sees each update "
            "without it and has to be trusted."
        )
    return (
        "Each owner's update from the server: it sees every one of them, with the noise that "
        "the owner added."
    )


def _plain(value: object) -> str:
    """Return a value of the plan as a reader says it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _millions(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / 1e6
