"""`discreet doctor` and `discreet version`: what is installed and whether it works."""

import time
from collections.abc import Callable
from pathlib import Path

import typer

from discreet import __version__
from discreet.cli.options import Cache, Json, show_json, talk


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def doctor(cache: Cache = None, as_json: Json = False) -> None:
    """Check that the packaged people, notes, model and perceiver load and belong together."""
    checks: dict[str, Callable[[], str]] = {
        "people": _people,
        "notes": _notes,
        "base model": lambda: _base(cache),
        "perceiver": _perceiver,
    }
    results = {}
    for name, check in checks.items():
        started = time.perf_counter()
        results[name] = {"found": check(), "seconds": round(time.perf_counter() - started, 2)}
        if not as_json:
            line = f"ok  {name}: {results[name]['found']} ({results[name]['seconds']} s)"
            talk().print(line, markup=False)
    if as_json:
        show_json(results)


def _people() -> str:
    from discreet.data import load_portraits

    train, test = load_portraits("train"), load_portraits("test")
    if {p.identity_id for p in train} & {p.identity_id for p in test}:
        raise ValueError("Expected train and test people to differ, found one in both.")
    return f"{len(train)} portraits to train on, {len(test)} held out"


def _notes() -> str:
    from discreet.data import load_questions

    questions = load_questions()
    return f"{len(questions)} questions with vetted notes"


def _base(cache: Path | None) -> str:
    from discreet.model import load

    vlm = load("small", cache_dir=cache)
    return f"small, {vlm.base_hash[:12]}"


def _perceiver() -> str:
    from discreet.perception import Perceiver

    return ", ".join(Perceiver.load().heads)
