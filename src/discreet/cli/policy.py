"""`discreet policy check`: what a policy allows, in plain words; what is prohibited is an error."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from discreet.assistant import Policy, Purpose, Rule, load_policy
from discreet.cli.options import Json, show_json, talk
from discreet.law import cite

app = typer.Typer(no_args_is_help=True, help="What the assistant may know of people, and why.")
COLUMNS = (
    *("purpose", "attribute", "from where", "how fine", "how long", "who sees it"),
    *("what it may change", "article"),
)
ARTICLES = {
    "age_band": ("ai-act-annex-3-1-b", "ai-act-50-3"),
    "expression": ("ai-act-annex-3-1-c", "ai-act-50-3"),
}
"""What an estimate of an attribute also falls under."""


@app.callback()
def policies() -> None:
    """What the assistant may know of people, and why."""


@app.command("check")
def check(
    policy: Annotated[str, typer.Argument(help="A policy file, or the context of one that ships.")],
    as_json: Json = False,
) -> None:
    """Explain what a policy allows; exit status 1, with the article, if it may not exist."""
    found = load_policy(policy)
    rows = list(explain(found))
    if as_json:
        show_json({"context": found.context, "sha256": found.sha256, "rows": rows})
        return
    console = talk()
    for purpose in found.purposes.values():
        is_default = " (unless another is named)" if purpose.name == found.default_purpose else ""
        own = [row for row in rows if row["purpose"] == purpose.name]
        console.print(
            _tree(f"[bold]{purpose.name}[/]{is_default}: {escape(purpose.description['en'])}", own),
            highlight=False,
            soft_wrap=False,
        )
    console.print(_ending(found), markup=False, highlight=False)


def _tree(title: str, rows: Sequence[dict[str, str]]) -> Tree:
    """Return a purpose with its attributes, and a sentence for each source of each."""
    tree = Tree(title, guide_style="dim")
    branches: dict[str, Tree] = {}
    for row in rows:
        name = row["attribute"]
        if name not in branches:
            branches[name] = tree.add(f"[bold]{escape(name.replace('_', ' '))}[/]")
        branches[name].add(
            escape(
                f"{row['from where']}: {row['how fine']}; kept {row['how long']}; seen by "
                f"{row['who sees it']}; may change {row['what it may change']}."
            )
            + f" [dim]{escape(row['article'])}[/]"
        )
    return tree


def explain(policy: Policy) -> Iterator[dict[str, str]]:
    """Yield what each rule of a policy says, a row for each source, by `COLUMNS`."""
    for purpose in policy.purposes.values():
        for name, rule in purpose.attributes.items():
            for source in rule.sources:
                yield dict(zip(COLUMNS, _row(purpose, name, rule, source), strict=True))


def _row(purpose: Purpose, name: str, rule: Rule, source: str) -> tuple[str, ...]:
    articles: tuple[str, ...] = (purpose.legal_basis,)
    if source == "estimated":
        origin = f"estimated from a picture, if consented to ({purpose.consent_to(name)})"
        fine = f"{', '.join(rule.estimated_values)}; {rule.min_confidence:.0%} sure or more"
        kept = "for this turn"
        articles = (*articles, *ARTICLES[name])
    else:
        origin, fine = "said by the person", "as they say it"
        kept = f"{rule.ttl_seconds // 60} minutes at most" if rule.ttl_seconds else "for this turn"
    seers = " and ".join(f"the {seer}" for seer in rule.seen_by)
    changes = ", ".join(change.replace("_", " ") for change in rule.may_change)
    return (
        *(purpose.name, name, origin, fine, kept, seers, changes or "nothing"),
        "; ".join(cite(id_) for id_ in articles),
    )


def _ending(policy: Policy) -> str:
    shown = [name for name in policy.purposes if policy.may_show_picture(name)]
    names = ", ".join(f"{name}/picture" for name in shown)
    sees = f"sees the picture itself if consented to ({names})" if shown else "never sees pictures"
    return (
        f"The responder {sees}. Of known minors nothing is estimated ({cite('gdpr-8')}). Whatever "
        f"is not named here is denied.\nsha256 {policy.sha256}"
    )
