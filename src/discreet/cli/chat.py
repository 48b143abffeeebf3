"""`discreet chat`: ask the assistant once, or talk with it."""

import json
import sys
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from discreet.assistant import (
    CONTEXT_OF,
    CONTEXTS,
    DRAFTS,
    Assistant,
    Find,
    Note,
    Notes,
    Policy,
    Turn,
    declare,
    load_policy,
)
from discreet.cli.country import Country
from discreet.cli.options import (
    RUNS,
    Cache,
    Drafts,
    Guidance,
    Json,
    Runs,
    quiet_logs,
    show_json,
    talk,
)
from discreet.cli.replies import as_record, vetted, why
from discreet.data import load_questions, open_image
from discreet.errors import DiscreetError
from discreet.model import (
    CACHE_DIR,
    GUIDANCE,
    Vlm,
    check_guidance,
    lay_out_weights,
    load,
    load_adapter,
)
from discreet.perception import ESTIMATORS, Estimator, estimator
from discreet.registry import LATEST, REFERENCE, list_adapters, require_base, resolve
from discreet.service import require_told
from discreet.types import Language, Mode

_HELP = (
    "Type a question, /image FILE, /profile NAME=VALUE (NAME= takes it back), /mode gated|native, "
    "/why or /quit."
)

_FAILED = "Expected to do that, got {}. Nothing was kept of it; ask again, or leave with /quit."


def chat(
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Run id, folder, 'latest', 'reference' (shipped), 'federated' (shipped, trained "
            "without privacy) or 'none' (base); by default the latest run, or 'reference' if there "
            "is none."
        ),
    ] = None,
    base: Annotated[str, typer.Option(help="Base model when --adapter none.")] = "small",
    image: Annotated[Path | None, typer.Option(help="A picture of the person's face.")] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Declared attribute; may be repeated. age_band=child, young_adult, middle_aged or "
            "older_adult; expression=neutral, happy, sad, angry or surprised; reading=plain."
        ),
    ] = None,
    once: Annotated[str | None, typer.Option(help="Ask this one question and stop.")] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="gated: the responder reads words that passed the policy; native: 24 bits of the "
            "picture."
        ),
    ] = "gated",
    policy: Annotated[
        str, typer.Option(help=f"{', '.join(CONTEXTS)}, or a policy file.")
    ] = "healthcare",
    purpose: Annotated[
        str | None,
        typer.Option(help="Of the policy, for example comfort; by default the policy's own."),
    ] = None,
    perceiver: Annotated[
        str, typer.Option(help=f"Who reads pictures: {', '.join(ESTIMATORS)}.")
    ] = "small",
    find: Annotated[
        Find,
        typer.Option(help="How notes are found; words needs no sentence encoder and finds fewer."),
    ] = "meaning",
    language: Annotated[
        Language, typer.Option(help="Of the notes; French ones are said as they are.")
    ] = "en",
    country: Country = None,
    guidance: Guidance = GUIDANCE,
    drafts: Drafts = DRAFTS,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 96,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Ask the assistant: perceive, gate by the policy, respond.

    Who hands over a picture here consents to all that the policy may estimate from it.
    """
    turn = Turn(
        question=once or "",
        image=None if image is None else open_image(image),
        declared=parse_profile(profile or []),
        purpose=purpose,
    )
    chosen = parse_mode(mode)
    check_guidance(guidance)
    eyes = estimator(perceiver)
    if eyes.caution:
        talk().print(eyes.caution, style="yellow", markup=False)
    if adapter is None and not list_adapters(runs):
        talk().print("No run yet: this is the shipped adapter, 'reference'.", style="dim")
        adapter = REFERENCE
    built = build_assistant(
        adapter or LATEST,
        base,
        policy,
        runs=runs,
        cache=cache,
        perceiver=eyes,
        find=find,
        language=language,
    )
    assistant = replace(built, guidance=guidance, drafts=drafts, country=country)
    require_told(assistant.policy)
    turn = replace(turn, consented=frozenset(assistant.policy.consentable(purpose)))
    if once is None:
        _talk(assistant, turn, chosen, max_new_tokens, as_json)
        return
    say = None if as_json else _say
    reply = assistant.reply(turn, mode=chosen, max_new_tokens=max_new_tokens, on_text=say)
    if as_json:
        show_json(as_record(reply))
    else:
        typer.echo()
        talk().print(why(reply), style="dim", markup=False)


def build_assistant(
    adapter: str,
    base: str,
    policy: str,
    *,
    runs: Path,
    cache: Path | None,
    perceiver: Estimator = ESTIMATORS["small"],
    find: Find = "meaning",
    language: Language = "en",
) -> Assistant:
    """Return the assistant with an adapter of the shelf, behind a policy."""
    chosen = load_policy(policy)
    notes = notes_of(chosen, find, language=language, cache=cache)
    vlm = load_responder(adapter, base, runs=runs, cache=cache)
    lay_out_weights(vlm)
    return Assistant(
        vlm=vlm,
        policy=chosen,
        notes=notes,
        perceiver=perceiver.load(),
    )


def load_responder(adapter: str, base: str, *, runs: Path, cache: Path | None) -> Vlm:
    """Return the base with the adapter of a run, refused if it was made for another base.

    Raises:
        IncompatibleBase: if the hashes of the base differ.
    """
    quiet_logs()
    if adapter == "none":
        return load(base, cache_dir=cache)
    found = resolve(adapter, runs)
    vlm = load(found.card.base_name, cache_dir=cache)
    require_base(found.card, vlm.base_hash)
    return load_adapter(vlm, found.folder)


def adapter_hash(adapter: str, runs: Path) -> str | None:
    """Return the hash of an adapter's files, checked, for a record of what was measured.

    Args:
        adapter: As `load_responder` takes it; of `none` there are no files.
        runs: Folder that holds run folders.
    """
    return None if adapter == "none" else resolve(adapter, runs).card.adapter_sha256


def notes_of(
    policy: Policy,
    find: Find = "meaning",
    *,
    language: Language = "en",
    cache: Path | None = None,
) -> Notes:
    """Return the vetted notes that ship for a policy.

    By meaning, their vectors are kept in the cache, the user's by default: a first start takes some
    seconds longer than later ones.

    Raises:
        ValueError: if there are none.
        DataError: if they are to be found by weights that are not installed.
    """
    notes = [note for note in shipped_notes(language) if note.context == policy.context]
    if not notes:
        raise ValueError(
            f"Expected a policy for {' or '.join(CONTEXT_OF.values())}, got one for "
            f"{policy.context}: no notes ship for it. Build an Assistant with notes of your own."
        )
    return Notes.build(notes, find=find, keep_in=cache or CACHE_DIR)


def shipped_notes(language: Language = "en") -> list[Note]:
    """Return the vetted notes of both domains, in one language."""
    return [
        Note(
            id=q.id,
            question=q.question,
            text=q.note,
            context=CONTEXT_OF[q.domain],
            safety=q.safety,
            forbidden=q.forbidden,
            facts=q.key_facts,
            language=q.language,
        )
        for q in load_questions(language=language)
    ]


def parse_profile(pairs: list[str]) -> dict[str, str]:
    """Return declared attributes from NAME=VALUE texts."""
    declared = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise ValueError("Expected --profile NAME=VALUE, for example age_band=child.")
        declared[name.strip()] = value.strip()
    return declared


def parse_mode(text: str) -> Mode:
    """Return a mode, or say which ones there are."""
    if text == "gated" or text == "native":
        return text  # type: ignore[return-value]
    raise ValueError("Expected --mode gated or native, got another one.")


def _say(text: str) -> None:
    typer.echo(text, nl=False)


def _declare(declared: dict[str, str], text: str) -> dict[str, str]:
    """Return the profile with NAME=VALUE added, or taken away by NAME= without a value."""
    (name, value), *_ = parse_profile([text]).items()
    if not value:
        return {known: said for known, said in declared.items() if known != name}
    declare(name, value)
    return {**declared, name: value}


def _talk(assistant: Assistant, turn: Turn, mode: Mode, max_new_tokens: int, as_json: bool) -> None:
    """Answer questions until /quit; a mistake in one turn does not end the talk.

    For machines each reply is one line of JSON on stdout; talk goes to stderr as ever.
    """
    console = talk()
    console.print(
        "You are talking with an AI. It gives information, not medical advice. A picture stays "
        "in memory until the talk ends and is not written down.\n" + _HELP,
        markup=False,
    )
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text end no talk
    image, declared, reply = turn.image, dict(turn.declared), None
    while True:
        try:
            line = input("" if as_json else "> ").strip()
        except EOFError:
            return
        command, _, rest = line.partition(" ")
        try:
            if command == "/quit":
                return
            if command == "/image":
                image = open_image(Path(rest.strip()))
            elif command == "/profile":
                declared = _declare(declared, rest)
            elif command == "/mode":
                mode = parse_mode(rest.strip())
            elif command == "/why":
                console.print(why(reply) if reply else "Nothing was asked yet.", markup=False)
            elif line.startswith("/") or not line:
                console.print(_HELP, markup=False)
            else:
                asked = replace(turn, question=line, image=image, declared=declared)
                say = None if as_json else _say
                reply = assistant.reply(
                    asked, mode=mode, max_new_tokens=max_new_tokens, on_text=say
                )
                typer.echo(json.dumps(as_record(reply), ensure_ascii=False) if as_json else "")
                if not as_json:
                    console.print(vetted(reply), style="dim", markup=False)
        except BrokenPipeError:
            raise  # nobody listens
        except (ValueError, DiscreetError) as error:
            console.print(str(error), style="red", markup=False)
        except (OSError, MemoryError, RuntimeError) as error:  # whose texts may name files
            console.print(_FAILED.format(type(error).__name__), style="red", markup=False)
