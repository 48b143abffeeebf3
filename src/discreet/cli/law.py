"""`discreet law`: the articles that the rest refers to, and whether they were checked lately."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from rich.markup import escape
from rich.table import Table

from discreet.cli.options import Json, show_json, talk
from discreet.law import Article, cite, load_law

STALE = timedelta(days=180)
"""From this age on, what is said of the law may have changed."""


def law(as_json: Json = False) -> None:
    """Show what the law asks for, since when, where it stands and when that was last checked.

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
    """Return a warning if articles were checked longer than `STALE` ago, or None."""
    old = [one.checked_on for one in articles if today - one.checked_on > STALE]
    if not old:
        return None
    return (
        f"{len(old)} articles were checked more than {STALE.days} days ago, the first on "
        f"{min(old)}. Read the publications again and change checked_on in law.toml."
    )


def _table(articles: Iterable[Article], today: date) -> Table:
    table = Table("article", "what it asks, in our words", show_lines=True)
    table.columns[0].max_width = 26
    for one in articles:
        since = f"from {one.in_force} on" if one.in_force > today else f"since {one.in_force}"
        checked = f"in force {since}; checked on {one.checked_on}"
        if one.unsure:
            checked += f"; not verified: {escape(one.unsure)}"
        table.add_row(
            f"{escape(cite(one.id))}\n[dim]{one.id}[/]", f"{escape(one.asks)}\n[dim]{checked}[/]"
        )
    return table
