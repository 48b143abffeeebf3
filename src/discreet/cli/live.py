"""A federation while it runs: drawn anew on a terminal, elsewhere a line for each round.

    with watching("4 owners, 2 rounds", talk()) as on_event:
        on_event(RoundStarted(server_round=1, num_rounds=2, asked=4))

Knows events and nothing else: neither the plan nor the run folder, so that it serves whatever
drives the rounds. Writes no file. Loss of steps is drawn as local; everything else, the loss that a
plan releases too, is what was released.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from statistics import fmean

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from discreet.federated import (
    Event,
    OnEvent,
    OwnerDropped,
    OwnerHindered,
    OwnerReplied,
    RoundDone,
    RoundStarted,
    StepTaken,
)
from discreet.report import kind_of
from discreet.types import rounded_up

KEPT = 100
"""Rounds that are remembered for the table; fewer are shown where the terminal is lower."""
_BAR = 30
"""Most columns of a bar."""
_DONE = "green"
"""Style of what is done."""


@contextmanager
def watching(
    title: str, console: Console, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[OnEvent]:
    """Yield a callback that shows what it is told.

    Where the console is no terminal that can be drawn on, or NO_COLOR is set, each round is a line.

    Args:
        title: What the run is and promises, in a sentence or two.
        console: Where to show it.
        clock: Seconds that pass, for the time that is left.
    """
    view = View(title, clock)
    if console.is_interactive and not console.no_color:
        with Live(view, console=console):
            yield view.take
        return
    console.print(title, markup=False, soft_wrap=True)

    told: set[str] = set()

    def tell(event: Event) -> None:
        view.take(event)
        if not isinstance(event, RoundDone):
            return
        console.print(view.rows[-1].line, markup=False, soft_wrap=True)
        for note in _about_losses(view.rows):
            if note not in told:
                console.print(note, markup=False, soft_wrap=True)
                told.add(note)

    yield tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A round that is done."""

    done: RoundDone
    reasons: dict[str, int]
    """Why owners were dropped -> how many."""
    loss: float | None
    """Mean over the owners' steps, local; None: not known here."""
    hindered: tuple[int, ...] = ()
    """Nodes that hindered the opening of a secure sum."""

    @property
    def dropped(self) -> str:
        """How many owners were dropped for which reason, in words."""
        return ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())

    @property
    def cells(self) -> tuple[str, ...]:
        """The round as cells of the table, without the loss."""
        done = self.done
        return (
            str(done.server_round),
            str(done.replies),
            self.dropped or str(done.dropped),
            "" if done.spent is None else rounded_up(done.spent.epsilon),
            _megabytes(done.bytes_down),
            _megabytes(done.bytes_up),
            f"{done.seconds:.1f}",
        )

    @property
    def about_faults(self) -> str:
        """Who hindered the opening of a sum, in words."""
        return f"opening hindered by {', '.join(f'node {node}' for node in self.hindered)}"

    @property
    def line(self) -> str:
        """The round in a line that can be read without the others."""
        done = self.done
        why = f" ({self.dropped})" if self.reasons else ""
        parts = [f"{done.replies} replies, {done.dropped} dropped{why}"]
        if done.spent is not None:
            parts.append(f"worst owner so far {done.spent}")
        if self.hindered:
            parts.append(self.about_faults)
        parts.append(f"{_megabytes(done.bytes_down)} MB down, {_megabytes(done.bytes_up)} MB up")
        parts.append(f"{done.seconds:.1f} s")
        if not done.is_released:
            parts.append("how many replied stays local")
        if done.loss is not None:
            parts.append(f"released loss {done.loss:.3f}")
        if self.loss is not None:
            parts.append(f"local loss {self.loss:.3f}")
        return f"round {done.server_round} of {done.num_rounds}: {'; '.join(parts)}"


class View:
    """What is known of a run so far, drawn as high and wide as the terminal lets it."""

    def __init__(self, title: str, clock: Callable[[], float]) -> None:
        """Begin with nothing known."""
        self.rows: tuple[Row, ...] = ()
        self._title = title
        self._clock = clock
        self._began: tuple[float, int] | None = None
        self._round = RoundStarted(server_round=1, num_rounds=1, asked=0)
        self._forget_owners()

    def take(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case RoundStarted():
                self._forget_owners()
                self._round = event
                self._began = self._began or (self._clock(), event.server_round - 1)
            case OwnerReplied():
                self._replied.add(event.node)
            case OwnerDropped():
                self._dropped[event.node] = kind_of(event.reason)
            case OwnerHindered():
                self._hindered.append(event.node)
            case StepTaken():
                self._take_step(event)
            case RoundDone():
                reasons = Counter(self._dropped.values())
                loss = fmean(self._losses) if self._losses else None
                row = Row(
                    done=event,
                    reasons=dict(reasons.most_common()),
                    loss=loss,
                    hindered=tuple(self._hindered),
                )
                self.rows = (*self.rows, row)[-KEPT:]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the bars; the plan and the last rounds as far as there is room."""
        room = console.size.height - 3  # the bars, and a line for the cursor
        title = Text(self._title, style="dim")
        head = len(title.wrap(console, options.max_width)) + 1
        has_head = head <= room
        if has_head:
            room -= head
            yield title
            yield Text()
        yield self._bars(options)
        notes = Text(self._notes(), style="dim")
        rows = room - len(notes.wrap(console, options.max_width)) - 2
        if self.rows and rows > 0:
            yield Group(Text(), self._table(self.rows[-rows:], options.max_width), notes)

    def _forget_owners(self) -> None:
        """Begin a round, in which nobody has replied."""
        self._replied: set[int] = set()
        self._dropped: dict[int, str] = {}
        self._hindered: list[int] = []
        self._trained: set[str] = set()
        self._losses: list[float] = []
        self._step: StepTaken | None = None

    def _take_step(self, event: StepTaken) -> None:
        self._step = event
        if event.step == event.steps:
            self._trained.add(event.owner)
        if event.loss is not None:
            self._losses.append(event.loss)

    @property
    def _done(self) -> int:
        """Owners of this round who are done; who trains here is so before the reply is read."""
        return max(len(self._replied), len(self._trained) - len(self._dropped))

    @property
    def _rounds(self) -> float:
        """Rounds that are done, with the part of the one that runs."""
        started = self._round
        if self.rows and self.rows[-1].done.server_round >= started.server_round:
            return self.rows[-1].done.server_round
        step = self._step
        part = step.step / step.steps if step and step.owner not in self._trained else 0.0
        settled = self._done + len(self._dropped) + part
        return started.server_round - 1 + min(1.0, settled / max(1, started.asked))

    def _bars(self, options: ConsoleOptions) -> RenderableType:
        """Return two lines: all rounds, and the owners of this one."""
        started, dropped = self._round, len(self._dropped)
        if self._began is None:
            return Text("waiting for the first round\n")
        waiting = max(0, started.asked - self._done - dropped)
        counts = f"{self._done} done, {dropped} failed, {waiting} waiting"
        if waiting and (step := self._step):
            counts += f"; {step.owner} step {step.step}/{step.steps}"
        label, width = f"round {started.server_round}", min(_BAR, options.max_width // 4)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for least in (len(label), width, None):
            grid.add_column(no_wrap=True, overflow="ellipsis", min_width=least)
        rounds = ProgressBar(
            total=started.num_rounds,
            completed=self._rounds,
            width=width,
            complete_style=_DONE,
            finished_style=_DONE,
        )
        grid.add_row("rounds", rounds, f"{int(self._rounds)} of {started.num_rounds}{self._left()}")
        shares = (self._done, dropped, waiting)
        grid.add_row(label, _owners(shares, width, "-" if options.ascii_only else "━"), counts)
        return grid

    def _left(self) -> str:
        """Return how long the rest takes if it goes on like this; nothing if nobody knows."""
        if self._began is None:
            return ""
        since, before = self._began
        progress, left = self._rounds - before, self._round.num_rounds - self._rounds
        if progress <= 0 or left <= 0:
            return ""
        return f", about {_span((self._clock() - since) / progress * left)} left"

    def _table(self, rows: tuple[Row, ...], width: int) -> Table:
        """Return rounds as a table; reasons are cut where they do not fit."""
        names = ["round", "replies", "dropped", "epsilon", "MB down", "MB up", "seconds"]
        cells = [list(row.cells) for row in rows]
        kinds = {"released loss": attrgetter("done.loss"), "local loss": attrgetter("loss")}
        for name, loss_of in kinds.items():
            if any(loss_of(row) is not None for row in self.rows):
                names.append(name)
                for row, line in zip(rows, cells, strict=True):
                    line.append("" if loss_of(row) is None else f"{loss_of(row):.3f}")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        reasons = names.index("dropped")
        others = sum(widths) - widths[reasons] + 2 * (len(names) - 1)
        widths[reasons] = min(widths[reasons], max(len("dropped"), width - others))
        for name, wide in zip(names, widths, strict=True):
            table.add_column(
                name,
                justify="left" if name == "dropped" else "right",
                no_wrap=True,
                overflow="ellipsis",
                width=wide,
            )
        for line in cells:
            table.add_row(*map(Text, line))
        return table

    def _notes(self) -> str:
        """Return what the columns of the table mean nothing without."""
        spent = self.rows[-1].done.spent if self.rows else None
        notes = [] if spent is None else [f"epsilon: of the worst owner so far, {spent.qualified}."]
        if last := [row for row in self.rows if row.hindered][-1:]:
            notes.append(f"Round {last[0].done.server_round}: {last[0].about_faults}.")
        return " ".join([*notes, *_about_losses(self.rows)])


def _about_losses(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what the losses of some rounds are, and that two kinds have two scales."""
    has_released = any(row.done.loss is not None for row in rows)
    has_local = any(row.loss is not None for row in rows)
    if has_released:
        yield "Released loss: clipped and noisy sum over the public expected_batch_size."
    if has_local:
        yield "Local loss: mean of who was drawn, without noise; it stays in this process."
    if has_released and has_local:
        yield "Their scales differ: compare neither with the other."


def _owners(counts: tuple[int, int, int], width: int, mark: str) -> Text:
    """Return a bar of owners who are done, failed and waiting; nobody who failed is rounded off."""
    done, failed, _ = counts
    total = max(1, sum(counts))
    red = max(round(width * failed / total), min(1, failed))
    green = min(width * done // total, width - red)
    bar = Text(mark * green, style=_DONE)
    bar.append(mark * red, style="red")
    return bar.append(mark * (width - green - red), style="bar.back")


def _megabytes(size_bytes: int) -> str:
    """Return bytes as megabytes of a million, with two decimals below ten.

    >>> _megabytes(0), _megabytes(1_234_567), _megabytes(2_345_678_901), _megabytes(12)
    ('0', '1.23', '2,345.7', '<0.01')
    """
    megabytes = size_bytes / 1e6
    if 0 < megabytes < 0.01:
        return "<0.01"
    return f"{megabytes:,.1f}" if megabytes >= 10 else f"{megabytes:.2f}" if megabytes else "0"


def _span(seconds: float) -> str:
    """Return a time in the units that matter.

    >>> _span(9.2), _span(61), _span(7400)
    ('10 s', '2 min', '2 h 04 min')
    """
    if seconds <= 60:
        return f"{int(-(-seconds // 1))} s"
    minutes = int(-(-seconds // 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
