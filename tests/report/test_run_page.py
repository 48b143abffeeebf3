"""What a person reads on the page, and what a browser must not do with it."""

import doctest
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from discreet.artifacts import RunFolder
from discreet.registry import REFERENCE_DIR
from discreet.report import NAMES, page_of, read_run, run_page, templates
from discreet.types import PrivacyStatement, rounded_up
from report.conftest import released, sent

Copy = Callable[..., RunFolder]
VOID = {"meta"}


class Page(HTMLParser):
    """Words, elements and attributes; open elements have to be closed in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.tags, self.attributes = "", [], []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words += f" {data}"


def read(run: RunFolder) -> Page:
    return Page(page_of(read_run(run)))


@pytest.fixture(scope="module")
def shipped() -> Page:
    return read(RunFolder(REFERENCE_DIR))


def test_the_page_says_promise_and_spending_complete(shipped: Page) -> None:
    record = read_run(RunFolder(REFERENCE_DIR))
    assert record.worst is not None
    assert f"Spent by the worst owner: {record.worst}." in shipped.words
    promised = replace(record.worst, epsilon=8.0)
    assert f"Promised: each owner spends at most {promised}." in shipped.words
    assert all(owner.name in shipped.words for owner in record.owners)
    assert "times as likely with any one example in the data" in shipped.words


def test_every_curve_of_epsilon_says_delta_unit_and_relation(shipped: Page) -> None:
    said = "at delta = 1e-05 (unit: example, neighbours: add_or_remove_one)"
    assert f"What nodes had said by the end of each round, {said}." in shipped.words
    assert f"by the end of the round, {said}" in shipped.words
    assert shipped.words.count("delta = 1e-05") >= 7


def test_what_an_old_run_does_not_have_is_shown_as_missing(shipped: Page) -> None:
    assert "Megabytes not recorded" in shipped.words
    assert "Seconds not recorded" in shipped.words
    assert "Training loss (local)" not in shipped.words
    assert "Sent: not recorded." in shipped.words


def test_bytes_stand_beside_flowertunes_budget(old_run: Copy) -> None:
    run = old_run(lambda lines: [*lines, *sent(1, down=6 * 10**9, up=4 * 10**9, seconds=9.0)])
    words = read(run).words
    assert (
        "10 GB both ways in 1 of 2 rounds, in the others not known, 4.77% of the 200,000 MiB"
        in words
    )
    assert "1 6 GB" not in words
    assert "6 GB 4 GB 9.0" in words


def test_drops_are_told_with_their_reasons(old_run: Copy) -> None:
    drops = [
        released(2, "dropped", 1, node=n, reason=why)
        for n, why in enumerate(["NoReply", "NoReply", "BudgetExhausted"])
    ]
    page = read(old_run(lambda lines: [*lines, *drops]))
    assert "Dropped in all: 2 × NoReply, 1 × BudgetExhausted." in page.words
    assert "round 2, dropped: 3" in page.words


def test_who_hindered_the_opening_of_a_sum_is_a_row(old_run: Copy, shipped: Page) -> None:
    faults = [released(2, "fault", 1, node=7, reason="wrong <ones> of 8"), released(2, "fault", 1)]
    faults[1] |= {"node": 9, "reason": "NoReply"}
    words = read(old_run(lambda lines: [*lines, *faults])).words
    assert "round owner what it did 2 node-7 wrong <ones> of 8 2 node-9 NoReply" in words
    assert "hindered" not in shipped.words


def test_drops_that_differ_in_a_number_are_counted_together(old_run: Copy) -> None:
    drops = [
        released(2, "dropped", 1, node=n, reason=f"Expected 4 or less, got {4.5 + n}. Lower it.")
        for n in range(3)
    ]
    words = read(old_run(lambda lines: [*lines, *drops])).words
    assert "Dropped in all: 3 × Expected 4 or less, got another number. Lower it." in words


def test_what_nodes_say_is_told_as_their_word(old_run: Copy) -> None:
    run = old_run()
    assert "epsilon of the worst owner" in read(run).words
    run.ledger_path.unlink()
    words = read(run).words
    assert "epsilon that the worst owner says it spent, at delta" in words
    assert "The worst owner says it spent: epsilon" in words
    assert "Spent by the worst owner" not in words
    assert "not settled" not in words


def test_the_page_names_owners_and_the_files_it_was_made_of(old_run: Copy, tmp_path: Path) -> None:
    fault = released(1, "fault", 1, node=1001, reason="Silent")
    run = old_run(lambda lines: [*lines, fault])
    run.ledger_path.unlink()
    run.write_json(NAMES, {"node-1001": "clinic-b"})
    words = read(run).words
    assert "clinic-b Silent" in words.split("what it did 1 ")[1]
    assert "node-1000" in words
    assert "node-1001" not in words
    files = "config.toml, metrics.jsonl, card.json, owners.json"
    had_card = run.card_path.exists()
    assert f"run folder: {files if had_card else files.replace('card.json, ', '')}." in words
    assert "To hand a page on" in words


def test_what_is_counted_has_whole_numbers_beside_it(finished: RunFolder) -> None:
    charts = {chart.title: chart.plot for chart in run_page._charts(read_run(finished))}
    owners = charts["Owners"]
    assert owners is not None
    assert [tick.label for tick in owners.y_ticks] == ["0", "1", "2"]


def test_many_owners_are_folded_and_in_the_order_of_their_numbers(finished: RunFolder) -> None:
    record = read_run(finished)
    one = record.owners[0]
    owners = tuple(replace(one, name=f"owner-{n}") for n in range(30))
    page = Page(page_of(replace(record, owners=owners)))
    assert "Each of 30 owners, as ledger.jsonl says" in page.words
    few = Page(page_of(record)).attributes.count(("details", "open", None))
    assert page.attributes.count(("details", "open", None)) == few - 1


def test_noise_from_a_public_seed_is_said_before_any_number(finished: RunFolder) -> None:
    words = read(finished).words
    assert words.index("Not private") < words.index("epsilon of the worst owner")


def test_a_loss_is_marked_local_and_an_exported_run_has_none(
    finished: RunFolder, shipped: Page
) -> None:
    assert "seconds loss (local)" in read(finished).words
    assert "This page holds local numbers" in read(finished).words
    assert "seconds loss (local)" not in shipped.words
    assert "This page holds local numbers" not in shipped.words


def test_a_released_loss_has_a_column_and_a_curve_of_its_own(old_run: Copy) -> None:
    words = read(old_run(lambda lines: [*lines, released(1, "loss", 2.125)])).words
    assert "loss (released) loss (local)" in words
    assert "Training loss (released)" in words
    assert "The two losses are on two scales" in words
    assert "2.125" in words


def test_a_run_that_was_stopped_before_its_first_round_has_a_page(old_run: Copy) -> None:
    run = old_run(lambda _: [])
    run.ledger_path.unlink()
    words = read(run).words
    assert "Nothing in this folder says what was spent" in words
    assert "No round is in metrics.jsonl." in words


def test_more_than_the_plan_allows_is_told(old_run: Copy) -> None:
    def much(lines: list[dict[str, object]]) -> list[dict[str, object]]:
        return [x | {"value": 9.0} if x["name"] == "epsilon" else x for x in lines]

    run = old_run(much)
    run.ledger_path.unlink()
    assert "An owner says it spent more than the plan of this run allows." in read(run).words


@pytest.mark.parametrize(
    ("unit", "is_secure", "said"),
    [
        ("example", False, "it sees every one of them, with the noise"),
        ("owner", False, "the server sees each update without it and has to be trusted"),
        ("owner", True, "while fewer owners than its threshold help the server"),
    ],
)
def test_what_is_not_protected_follows_from_the_plan(
    finished: RunFolder, unit: str, is_secure: bool, said: str
) -> None:
    record = read_run(finished)
    plan = {**record.config, "unit": unit, "secure_aggregation": is_secure}
    words = Page(page_of(replace(record, config=plan))).words
    limits = words[words.index("What this does not protect") :]
    assert said in limits
    assert ("A person with several examples" in limits) == (unit == "example")


def test_words_of_a_folder_are_words_and_nothing_else(finished: RunFolder, old_run: Copy) -> None:
    evil = '"><script>alert(1)</script><img src=//x>'
    lines = [released(1, "dropped", 1, node=1, reason=evil)]
    record = read_run(old_run(lambda old: [*old, *lines]))
    owners = tuple(replace(owner, name=evil) for owner in record.owners)
    page = Page(
        page_of(replace(record, run=evil, owners=owners, config={**record.config, "base": evil}))
    )
    assert not {"script", "img"} & set(page.tags)
    assert page.words.count(evil) >= 4


def test_the_page_asks_for_nothing(finished: RunFolder) -> None:
    html = page_of(read_run(finished))
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "a", "use"} & set(page.tags)
    assert not {"src", "href", "srcset", "data"} & {name for _, name, _ in page.attributes}
    assert not re.search(r"url\(|@import|https?:", html)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_one_owner_more_spent_is_the_one_that_is_told(finished: RunFolder) -> None:
    record = read_run(finished)
    kind = {"delta": 1e-5, "unit": "example", "neighbouring_relation": "add_or_remove_one"}
    owners = [
        replace(record.owners[0], name=f"o{n}", spent=PrivacyStatement(epsilon=n / 2, **kind))
        for n in range(1, 5)
    ]
    words = Page(page_of(replace(record, owners=tuple(owners)))).words
    assert "Spent by the worst owner: epsilon = 2.00" in words
    assert f"The mean over owners is epsilon = {rounded_up(1.25)} at delta" in words


def test_the_examples_in_the_file_run(tmp_path: Path) -> None:
    result = doctest.testmod(templates)
    assert result.attempted >= 1
    assert not result.failed
