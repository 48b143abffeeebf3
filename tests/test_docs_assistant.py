"""Numbers of the assistant's page are those of the records in docs/results."""

import json
from pathlib import Path
from statistics import median
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
WORDS = " ".join((DOCS / "assistant.md").read_text().split())


def record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "results" / f"{name}.json").read_text())
    return found


def test_when_a_page_shows_its_first_words_is_what_was_measured() -> None:
    found = record("pages")
    turns = found["seconds"]
    waits = [turn["page"] - turn["token"] for turn in turns]
    added = median(turn["page"] - turn["piece"] for turn in turns)
    assert max(waits) < 1.5
    assert found["drafts"] == 1
    assert f"`discreet bench pages --drafts 1 --turns {len(turns)}`" in WORDS
    assert (
        f"{median(waits):.2f} s after the model's first token (median of {len(turns)} turns; the "
        f"worst {max(waits):.2f} s), {added:.2f} s after the engine passes them on"
    ) in WORDS


def test_what_the_best_of_four_costs_and_gains_is_what_was_measured() -> None:
    waits = [turn["page"] - turn["token"] for turn in record("pages_drafts4")["seconds"]]
    assert (
        f"whole, {median(waits):.1f} s after the first token (median; the worst {max(waits):.1f} s;"
    ) in WORDS
    one, four = record("adapt_drafts1"), record("adapt")
    assert (one["drafts"], four["drafts"]) == (1, 4)
    assert one["questions"] == four["questions"] == 24
    shown, chosen = (found["answered_by"]["assistant with reference"] for found in (one, four))
    readers = ("child", "older_adult", "distressed")
    first, best = (
        [f"{found['fits'][reader]['value']:.2f}" for reader in readers] for found in (shown, chosen)
    )
    assert (
        f"fits children in {first[0]}, older adults in {first[1]} and somebody upset in {first[2]};"
        f" the best of four in {best[0]}, {best[1]} and {best[2]}; both say every key fact"
    ) in WORDS
    assert shown["all_recall"]["value"] == chosen["all_recall"]["value"] == 1
