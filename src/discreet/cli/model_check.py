"""`discreet doctor --model`: whether a base does what the rest of the code needs of it.

It shows what `model.check_conformance` found; it loads no data and trains nothing that is kept.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from discreet.cli.options import quiet_logs, show_json, talk
from discreet.errors import DataError
from discreet.model import EMBEDDED, Check, check_conformance

_STYLES = {"passed": "green", "failed": "bold red", "skipped": "dim"}


def check_model(model: str, *, cache: Path | None, as_json: bool) -> None:
    """Print what was found; exit with status 1 if a check fails."""
    quiet_logs()
    if model not in EMBEDDED and not Path(model).is_dir():
        raise DataError(
            f"Expected {', '.join(EMBEDDED)} or a folder with config.json and safetensors, got "
            f"'{model}', which is no folder: models are not downloaded; name a folder."
        )
    found = check_conformance(model, cache_dir=cache)
    is_ok = all(check.state != "failed" for check in found)
    if as_json:
        show_json({"model": model, "ok": is_ok, "checks": [asdict(check) for check in found]})
    else:
        _show(found, is_ok)
    if not is_ok:
        raise SystemExit(1)


def _show(found: Sequence[Check], is_ok: bool) -> None:
    """Print a table for people, and what to do."""
    console = talk()
    table = Table("check", "", "expected", "got")
    for check in found:
        state = f"[{_STYLES[check.state]}]{check.state}[/]"
        table.add_row(escape(check.name), state, escape(check.expected), escape(check.got))
    console.print(table)
    for check in found:
        if check.state == "failed":
            words = f"{check.name}: {check.way_out or check.got}"
            console.print(escape(words), style="bold red", soft_wrap=True)
    failed = sum(check.state == "failed" for check in found)
    verdict = "ok. Every check that applies passed." if is_ok else f"FAIL. {failed} to mend."
    console.print(
        f"Verdict: {verdict} It says nothing about answers, nor about privacy: see --private."
    )
