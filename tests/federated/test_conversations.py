"""Conversations as private examples: which there are, whose they are, what is left out."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from discreet.errors import DataError
from discreet.federated import AssistantTask, TrainConfig, most_tokens
from discreet.federated.lessons import OWN
from discreet.sources import read_shares
from discreet.types import OwnerId
from federated.chats import (
    BASE,
    CANARY,
    NAMES,
    OWNER,
    PICTURE,
    change,
    index,
    lessons_of,
    said,
    shards,
    talks,
    task_of,
    train,
)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return index(tmp_path)


def test_an_example_is_a_conversation_of_the_owner_that_the_file_names(shared: Path) -> None:
    task = task_of(shared)
    rows = list(read_shares(shared))
    for owner in task.owned:
        own = [record for name, record in rows if name == owner]
        assert len(task.lessons_of(owner)) == len(own)
        assert sorted(task.lessons_of(owner).users) == sorted(r.person for r in own)  # type: ignore[type-var]
    assert set(task.owned) == {name for name, _ in rows} == {OWNER, OwnerId("owner-1")}
    assert task.shared.left_out == {}


def test_users_are_the_persons_of_the_file_and_have_no_more_than_planned(tmp_path: Path) -> None:
    path = index(tmp_path, talks(20), owners=1)
    task = task_of(path, num_owners=1, min_replies=1, unit="user", examples_per_user=3)
    users = list(task.lessons_of(OWNER).users)
    assert {users.count(user) for user in users} == {3}
    assert len(set(users)) == 4


def test_users_cannot_be_hidden_where_nobody_says_who_they_are(tmp_path: Path) -> None:
    rows = [{**row, "user": "u1"} for row in talks()]
    rows[3] = {name: value for name, value in rows[3].items() if name != "user"}
    path = index(tmp_path, rows, owners=1)
    plan = {"num_owners": 1, "min_replies": 1}
    with pytest.raises(DataError, match="got 1 of 12 without.*Add a column 'user'"):
        task_of(path, **plan, unit="user", examples_per_user=3)
    assert len(task_of(path, **plan).lessons_of(OWNER)) == 12


def left_out(tmp_path: Path, *extra: dict[str, object], **changes: object) -> dict[str, int]:
    """Return what is left out of a set of three good conversations and some others."""
    path = index(tmp_path, [*talks(3), *extra], owners=1)
    task = task_of(path, num_owners=1, min_replies=1, **changes)
    assert len(task.lessons_of(OWNER)) == 3
    return dict(task.shared.left_out)


PICTURED = [f"p/{PICTURE}-0.jpg"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"conversations": [{"from": "gpt", "value": "Hello."}]}, "answer"),
        ({"conversations": said("Why?", "<|im_end|>")}, "template"),
        ({"conversations": said("Draw one.", "<image>"), "images": PICTURED}, "places"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": "<image>", "images": PICTURED}, "places"),
        ({"conversations": said("Why?" * 600, "So.")}, "length"),
    ],
    ids=["nothing asked", "nothing answered", "drawn", "in the rejected", "long"],
)
def test_what_cannot_be_learnt_from_is_left_out_and_counted(
    row: dict[str, object], reason: str, tmp_path: Path
) -> None:
    assert left_out(tmp_path, row) == {reason: 1}


def test_pictures_and_videos_are_no_conversations(tmp_path: Path, shared: Path) -> None:
    mixed = change(
        shared,
        kind=lambda rows: ["video"] * 2 + [row["kind"] for row in rows[2:]],
        turns=lambda rows: [[], []] + [row["turns"] for row in rows[2:]],
    )
    assert task_of(mixed).shared.left_out == {"kind": 2}


def test_the_limit_counts_every_token_and_nothing_is_cut(tmp_path: Path) -> None:
    """A conversation of exactly as many tokens stays, whatever the others are."""
    path = index(tmp_path, talks(6), owners=1)
    plan = {"num_owners": 1, "min_replies": 1}
    whole = lessons_of(task_of(path, **plan)).examples
    lengths = [len(example.row) for example in whole]
    assert lengths == sorted(lengths)
    for most in lengths:
        task = task_of(path, **plan, max_tokens=most)
        kept = lessons_of(task).examples
        assert [len(example.row) for example in kept] == [n for n in lengths if n <= most]
        assert task.shared.left_out.get("length", 0) == sum(n > most for n in lengths)
        assert all(
            torch.equal(one.row.input_ids, other.row.input_ids)
            for one, other in zip(kept, whole, strict=False)
        )


def test_a_base_that_reads_less_than_planned_sets_the_limit(shared: Path) -> None:
    task = task_of(shared, max_tokens=100_000)
    assert most_tokens(task.vlm, task.config) == 4096


def test_of_a_pair_the_chosen_answer_is_learnt(tmp_path: Path) -> None:
    pair = {"prompt": "Why?", "chosen": "So it is.", "rejected": f"No, {CANARY}."}
    path = index(tmp_path, [pair], owners=1)
    task = task_of(path, num_owners=1, min_replies=1)
    (example,) = lessons_of(task).examples
    text = task.vlm.tokenizer.decode(example.row.input_ids)
    assert "So it is.<|im_end|>" in text
    assert CANARY not in text


def test_words_are_no_place_for_a_picture(tmp_path: Path) -> None:
    """A literal `<image>` that is no place is refused where the set is read, and once more here."""
    rows: list[Any] = [
        {"conversations": said("Write <image> twice: <image>", "So."), "images": PICTURED},
        {"conversations": said("What is <image> in HTML?", "A tag.")},
        *talks(2),
    ]
    path = index(tmp_path, rows, owners=1)
    assert len(list(read_shares(path))) == 2

    def add(place: int) -> Path:
        def turns(rows: list[Any]) -> list[Any]:
            for row in rows:
                row["turns"][place]["text"] += "<image>"
            return [row["turns"] for row in rows]

        return change(path, turns=turns)

    for place in (0, 1):
        with pytest.raises(DataError, match="2 of 2 records are left out: 2 with another number"):
            task_of(add(place), num_owners=1, min_replies=1)


def test_a_picture_that_several_conversations_show_is_one(shared: Path) -> None:
    task = task_of(shared)
    shown = [p for example in lessons_of(task).examples for p in example.pictures]
    visual = lessons_of(task).visual
    assert len(visual.pictures) == 5
    assert set(shown) <= set(range(5))
    assert len(shown) > len(set(shown))


def test_a_picture_that_does_not_open_is_found_before_anything_is_charged(
    shared: Path, tmp_path: Path
) -> None:
    path = next((tmp_path / "set" / "p").glob("*-1.jpg"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"In row \d+ of 12: Expected a complete picture"):
        task_of(shared)
    path.unlink()
    with pytest.raises(DataError, match="In row .*FileNotFoundError.*--root") as told:
        task_of(shared)
    assert not any(name in str(told.value) for name in NAMES)


def test_what_a_terminal_shows_of_an_error_names_no_picture(shared: Path, tmp_path: Path) -> None:
    path = next((tmp_path / "set" / "p").glob("*-1.jpg"))
    for spoil in (lambda: path.write_bytes(path.read_bytes()[:100]), path.unlink):
        spoil()
        with pytest.raises(DataError) as told:
            task_of(shared)
        shown = "".join(traceback.format_exception(told.value))
        assert not any(name in shown for name in NAMES)


def test_a_set_that_was_moved_is_found_by_its_root(shared: Path, tmp_path: Path) -> None:
    wanted = lessons_of(task_of(shared)).losses([0, 1, 2]).detach()
    (tmp_path / "set").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="say where it is now"):
        task_of(shared)
    found = lessons_of(task_of(shared, root=tmp_path / "elsewhere")).losses([0, 1, 2]).detach()
    assert torch.equal(found, wanted)


def test_a_node_has_the_shard_of_one_owner(tmp_path: Path) -> None:
    config = TrainConfig.from_mapping(BASE)
    paths = shards(tmp_path)
    tasks = [AssistantTask.build(config, path) for path in paths]
    assert [list(task.owned) for task in tasks] == [[OWN], [OWN]]
    assert sum(len(task.lessons_of(OwnerId("clinic-a"))) for task in tasks) == 12
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="shard of one owner.*got 2 owners.*--shards"):
        AssistantTask.build(config, index(tmp_path / "other"))


def test_a_node_is_told_by_numbers_what_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shard = shards(tmp_path)[0]
    lessons = lessons_of(AssistantTask.build(TrainConfig.from_mapping(BASE), shard))
    assert "left out" not in caplog.text
    shortest, count = len(lessons.examples[0].row), len(lessons)
    plan = TrainConfig.from_mapping({**BASE, "max_tokens": shortest})
    left = count - len(AssistantTask.build(plan, shard).lessons_of(OWNER))
    assert f"{left} of {count} records are left out: {left} longer than max_tokens" in caplog.text
    assert not any(name in caplog.text for name in NAMES)


def test_owners_of_any_name_are_numbered_and_their_names_stay(shared: Path) -> None:
    names = {"owner-0": "dr-kerouac", "owner-1": "clinic"}
    renamed = change(shared, owner=lambda rows: [names[row["owner"]] for row in rows])
    own, other = task_of(shared), task_of(renamed)
    assert list(other.owned) == ["owner-0", "owner-1"]
    assert len(other.lessons_of(OWNER)) == len(own.lessons_of(OwnerId("owner-1")))


SHARED_OUT = b"discreet.num_owners"


def undeclared(path: Path) -> Path:
    """Return the same file without the number of owners."""
    table = pq.read_table(path)
    kept = {key: value for key, value in table.schema.metadata.items() if key != SHARED_OUT}
    out = path.with_name("undeclared.parquet")
    pq.write_table(table.replace_schema_metadata(kept), out)
    return out


def without(path: Path, owner: str) -> Path:
    """Return the same file without an owner's rows: a neighbour, where that is one example."""
    table = pq.read_table(path)
    out = path.with_name(f"without-{owner}.parquet")
    pq.write_table(table.filter(pa.compute.not_equal(table["owner"], owner)), out)
    return out


def test_an_owner_keeps_their_name_whoever_has_nothing(tmp_path: Path) -> None:
    whole = index(tmp_path, talks(20), owners=3, by="record")
    plan = {"num_owners": 3, "min_replies": 2}
    task = task_of(whole, **plan)
    sizes = {name: len(lessons) for name, lessons in task.owned.items()}
    assert all(sizes.values())
    for owner in sizes:
        for path in (without(whole, owner), undeclared(without(whole, owner))):
            less = task_of(path, **plan)
            found = {name: len(lessons) for name, lessons in less.owned.items()}
            assert found == {**sizes, owner: 0}
    with pytest.raises(ValueError, match="Expected num_owners = 3.*got num_owners=2"):
        task_of(without(whole, "owner-1"))
    with pytest.raises(ValueError, match="Expected num_owners = 3.*got num_owners=2"):
        task_of(undeclared(without(whole, "owner-1")))


@pytest.mark.parametrize("changes", [{}, {"unit": "user", "examples_per_user": 5}])
def test_an_owner_without_examples_trains_on_noise_and_pays_as_others_do(
    changes: dict[str, object], shared: Path, tmp_path: Path
) -> None:
    task = task_of(without(shared, OWNER), **changes)
    result, records, ledger = train(task, tmp_path / "run")
    _, other, full = train(task_of(shared, **changes), tmp_path / "full")
    assert len(lessons_of(task)) == 0
    assert len(records) == len(other) == 2
    assert ledger.spent(OWNER) == full.spent(OWNER)
    assert all(torch.isfinite(tensor).all() for tensor in result.state.values())
    assert any(tensor.any() for tensor in result.state.values())


def test_owners_of_other_names_must_all_have_something(shared: Path) -> None:
    names = {"owner-0": "dr-kerouac", "owner-1": "clinic"}
    renamed = change(shared, owner=lambda rows: [names[row["owner"]] for row in rows])
    with pytest.raises(ValueError, match="all have to have something") as told:
        task_of(without(renamed, "clinic"))
    assert "kerouac" not in str(told.value)


def test_a_plan_for_other_owners_than_the_file_has_is_refused(shared: Path) -> None:
    with pytest.raises(ValueError, match="Expected num_owners = 2.*got num_owners=3"):
        task_of(shared, num_owners=3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: change(p, image=lambda rows: [b""] * len(rows)), "columns of both: also image"),
        (lambda p: change(p, person=None), "missing: person.*data share"),
        (lambda p: change(p, owner=lambda rows: [None] * len(rows)), "could not read it"),
        (lambda p: change(p, turns=lambda rows: [[]] * len(rows)), "got none: 12 of 12"),
    ],
    ids=["mixed", "a column less", "no owners", "no words"],
)
def test_a_file_that_is_not_shares_is_refused(
    spoil: Callable[[Path], Path], message: str, shared: Path
) -> None:
    with pytest.raises(DataError, match=message):
        task_of(spoil(shared))


def test_data_of_another_kind_than_the_plan_says_are_refused(
    shared: Path, portraits_file: Path
) -> None:
    """What an example is belongs to the promise; so does going on with a run without its data."""
    with pytest.raises(DataError, match="Expected portraits .* got conversations"):
        task_of(shared, examples="portraits")
    with pytest.raises(DataError, match="Expected conversations .* got portraits.*--data"):
        task_of(portraits_file)
    with pytest.raises(DataError, match="Expected conversations"):
        AssistantTask.build(TrainConfig.from_mapping(BASE))
    with pytest.raises(ValueError, match="a root for shares only"):
        task_of(portraits_file, root=shared.parent, examples="portraits")


def test_a_table_without_rows_says_so(shared: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    pq.write_table(pq.read_table(shared).slice(0, 0), empty)
    with pytest.raises(DataError, match="found none"):
        task_of(empty)
    pq.write_table(pa.table({"conversations": ["x"]}), empty)
    with pytest.raises(DataError, match="data share"):
        task_of(empty, examples="portraits")
