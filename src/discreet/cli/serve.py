"""`discreet serve`: the assistant over HTTP, for robots and apps; keys for those who may ask."""

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from discreet.assistant import CONTEXTS, DRAFTS, Assistant, Find, Policy, load_policy
from discreet.cli.chat import notes_of
from discreet.cli.country import Country
from discreet.cli.listening import LOOPBACK, Host, warn_of_network
from discreet.cli.options import RUNS, Cache, Drafts, Runs, quiet_logs, talk
from discreet.consent import ConsentStore
from discreet.journal import Journal
from discreet.model import BASE_ADAPTER, Vlm, lay_out_weights, load, load_adapter
from discreet.perception import ESTIMATORS, Estimator, estimator
from discreet.registry import REFERENCE, AdapterCard, require_base, resolve
from discreet.service import (
    PER_MINUTE,
    Engine,
    add_key,
    build_app,
    names_of,
    read_keys,
    require_told,
)
from discreet.service import serve as answer

FOLDER = Path(platformdirs.user_data_dir("discreet")) / "service"
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_MOST_CHARACTERS = 64
"""Of a name in the journal."""


def serve(
    context: Annotated[
        str, typer.Option(help=f"{', '.join(CONTEXTS)}, or a policy file.")
    ] = "healthcare",
    host: Host = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = 8000,
    new_key: Annotated[
        str | None,
        typer.Option(help="Name of somebody who may ask: print a new key for them, and stop."),
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Where hashes of keys, consent records and the event log lie.")
    ] = FOLDER,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            help="Run id, folder, 'latest', 'reference' (shipped, the default), 'federated' "
            "(shipped, without privacy) or 'none' (base alone); may be repeated, a request names "
            "the one that answers."
        ),
    ] = None,
    base: Annotated[str, typer.Option(help="Base model when --adapter none.")] = "small",
    perceiver: Annotated[
        str, typer.Option(help=f"Who reads pictures: {', '.join(ESTIMATORS)}.")
    ] = "small",
    find: Annotated[
        Find,
        typer.Option(help="How notes are found; words needs no sentence encoder and finds fewer."),
    ] = "meaning",
    country: Country = None,
    drafts: Drafts = DRAFTS,
    at_once: Annotated[int, typer.Option(min=1, help="Visitors answered together.")] = 8,
    most_waiting: Annotated[int, typer.Option(min=0, help="Visitors who may wait.")] = 64,
    per_minute: Annotated[
        int, typer.Option(min=1, help="Requests a minute of one key.")
    ] = PER_MINUTE,
    runs: Runs = RUNS,
    cache: Cache = None,
) -> None:
    """Answer over HTTP as OpenAI's chat completions do, behind the policy of a context."""
    if new_key is not None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        typer.echo(add_key(folder / "keys", new_key))
        talk().print("Hand it over safely: only its hash is kept, and it is not shown again.")
        return
    keys = read_keys(folder / "keys")
    vlm, cards = load_shelf(adapter or [REFERENCE], base, runs, cache)
    eyes = estimator(perceiver)
    policy = load_policy(context)
    require_told(policy)
    english, french = assistants(
        vlm, policy, eyes, find=find, country=country, drafts=drafts, cache=cache
    )
    journal = Journal(folder / "journal", names=names_of([policy], cards))
    consents = ConsentStore(folder / "consent")
    _say_where(host, port, eyes.caution)
    with Engine(english, french, at_once=at_once, most_waiting=most_waiting) as engine:
        app = build_app(
            engine,
            consents=consents,
            journal=journal,
            keys=keys,
            promises={name: _promise(card) for name, card in cards.items()},
            per_minute=per_minute,
        )
        answer(app, host=host, port=port)


def assistants(
    vlm: Vlm,
    policy: Policy,
    eyes: Estimator,
    *,
    find: Find,
    country: str | None,
    drafts: int,
    cache: Path | None,
) -> tuple[Assistant, Assistant]:
    """Return who answers in English and who in French, with one model between them."""
    english = Assistant(
        vlm=vlm,
        policy=policy,
        notes=notes_of(policy, find, language="en", cache=cache),
        perceiver=eyes.load(),
        drafts=drafts,
        country=country,
    )
    return english, replace(english, notes=notes_of(policy, find, language="fr", cache=cache))


def load_shelf(
    adapters: list[str], base: str, runs: Path, cache: Path | None
) -> tuple[Vlm, dict[str, AdapterCard | None]]:
    """Return a base with adapters of the shelf beside each other, and their cards by name.

    Raises:
        IncompatibleBase: if they were not all made for one base.
    """
    quiet_logs()
    found = [] if adapters == ["none"] else [resolve(name, runs) for name in adapters]
    vlm = load(found[0].card.base_name if found else base, cache_dir=cache)
    cards: dict[str, AdapterCard | None] = {BASE_ADAPTER: None}
    for one in found:
        require_base(one.card, vlm.base_hash)
        name = name_for(one.card, cards)
        vlm = load_adapter(vlm, one.folder, name=name)
        cards[name] = one.card
    lay_out_weights(vlm)
    return vlm, cards


def name_for(card: AdapterCard, taken: Collection[str]) -> str:
    """Return a name for an adapter that the model and the journal take, and nobody has yet."""
    name = _NO_NAME.sub("-", card.run).lstrip("-_")[:_MOST_CHARACTERS] or "adapter"
    if name not in taken:
        return name
    ending = f"-{card.adapter_sha256[:12]}"
    return name[: _MOST_CHARACTERS - len(ending)] + ending


def _promise(card: AdapterCard | None) -> str:
    if card is None:
        return "trained on nobody's own data by this program"
    return "trained without a privacy guarantee" if card.worst is None else str(card.worst)


def _say_where(host: str, port: int, caution: str | None) -> None:
    if caution:
        talk().print(caution, style="yellow", markup=False)
    warn_of_network(host)
    talk().print(
        f"Answering on http://{host}:{port}/v1. You are the one who tells people that "
        "they talk with an AI.",
        markup=False,
    )
