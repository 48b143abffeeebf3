"""`discreet law`: the articles that the rest refers to, and whether they were read lately."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from rich.markup import escape
from rich.table import Table

from discreet.cli.options import Json, show_json, talk
from discreet.law import Article, cite, load_law

STALE = timedelta(days=180)
"""From this age on, what was read of the law may have changed."""


def law(as_json: Json = False) -> None:
    """Show what the law asks for, since when, where it stands and when that was last read.

    It is an engineer's translation and no legal advice.
    """
    articles, today = load_law(), datetime.now(UTC).date()
    if as_json:
        show_json(articles)
    else:
        talk().print(_table(articles, today))
    if old := stale(articles, today):
        talk().print(old, style="yellow", markup=False)


def stale(articles: Iterable[Article], today: date) -> str | None:
    """Return a warning if articles were read longer than `STALE` ago, or None."""
    old = [one.checked_on for one in articles if today - one.checked_on > STALE]
    if not old:
        return None
    return (
        f"{len(old)} articles were read more than {STALE.days} days ago, the first on {min(old)}. "
        "Read the publications again and change checked_on in law.toml."
    )


def _table(articles: Iterable[Article], today: date) -> Table:
    table = Table("id", "article", "in force", "what it asks, in our words", "read on")
    for one in articles:
        asks = f"{one.asks} (Not verified: {one.unsure})" if one.unsure else one.asks
        since = f"from {one.in_force}" if one.in_force > today else f"since {one.in_force}"
        table.add_row(one.id, escape(cite(one.id)), since, escape(asks), str(one.checked_on))
    return table
