"""Private training on preference pairs: one pair is one example, and losses couple no two."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest
import torch
from flwr.app import Context, RecordDict

from discreet.artifacts import RunFolder
from discreet.data import PreferencePair, load_questions, preference_pairs, split_questions
from discreet.errors import DataError
from discreet.federated import (
    PREFERENCES,
    AssistantTask,
    LocalGrid,
    PreferenceLessons,
    TrainConfig,
    publish,
    run_federation,
)
from discreet.model import Comparisons, answer_pair
from discreet.privacy import (
    ExampleGradients,
    PrivacyLedger,
    check_exactness,
    clipped_sum_of,
    draw_batches,
    fuzz_sensitivity,
)
from discreet.registry import resolve
from discreet.types import OwnerId
from federated.chats import scatter

ROOT = Path(__file__).parents[2]
OWNER = OwnerId("owner-0")
CLIP = 0.05
BASE: dict[str, object] = {
    "base": "tiny",
    "objective": "preferences",
    "examples": "preference_pairs",
    "num_owners": 2,
    "num_rounds": 1,
    "local_steps": 2,
    "sample_rate": 0.005,
    "expected_batch_size": 3,
    "lora_r": 2,
    "lora_layers": 1,
    "learning_rate": 1.0,
    "reproducible": True,
}


def config_of(**changes: object) -> TrainConfig:
    return TrainConfig.from_mapping({**BASE, **changes})


def task_of(**changes: object) -> AssistantTask:
    return AssistantTask.build(config_of(**changes))


def lessons_of(task: AssistantTask, owner: OwnerId = OWNER) -> PreferenceLessons:
    lessons = task.lessons_of(owner)
    assert isinstance(lessons, PreferenceLessons)
    return lessons


def spread(lessons: PreferenceLessons, count: int = 8) -> list[int]:
    """Return pairs from the shortest to one that is not long, so that a test is quick."""
    return list(range(0, len(lessons) // 3, len(lessons) // 3 // count))[:count]


def test_every_private_pair_has_one_owner_and_a_request_has_one_too() -> None:
    task = task_of(num_owners=3)
    places = [place for owner in task.owned for place in lessons_of(task, owner).places]
    assert sorted(places) == list(range(len(preference_pairs(part="private"))))
    asked = [set(lessons_of(task, owner).users) for owner in task.owned]
    assert sum(map(len, asked)) == len(set.union(*asked))
    parts = split_questions(load_questions())
    others = {question.question for question in (*parts.public, *parts.held_out)}
    assert not set.union(*asked) & others
    assert len(others) > 100


def test_owners_follow_from_the_seed() -> None:
    asked = [lessons_of(task_of(seed=seed)).users for seed in (0, 0, 1)]
    assert asked[0] == asked[1]
    assert asked[0] != asked[2]


def test_a_skew_shares_topics_out_unevenly() -> None:
    sizes = [len(lessons_of(task_of(dirichlet_alpha=0.1), OwnerId(f"owner-{n}"))) for n in (0, 1)]
    even = [len(lessons_of(task_of(), OwnerId(f"owner-{n}"))) for n in (0, 1)]
    assert sum(sizes) == sum(even)
    assert abs(sizes[0] - sizes[1]) > abs(even[0] - even[1])


def test_a_loss_is_that_of_the_pair_as_it_ships_without_its_safety_line() -> None:
    task = task_of()
    scatter(task.vlm)
    lessons = lessons_of(task)
    by_question: dict[str, list[PreferencePair]] = {}
    for pair in preference_pairs(part="private", safety=False):
        by_question.setdefault(pair.question, []).append(pair)
    for index in spread(lessons, 3):
        pairs = by_question[lessons.users[index]]
        rows = [
            answer_pair(p.question, note=p.note, band=p.band, chosen=p.chosen, rejected=p.rejected)
            for p in pairs
        ]
        known = Comparisons(task.vlm, rows, beta=0.1).losses(range(len(rows)))
        own = lessons.losses([index])
        assert float((known - own).abs().min().detach()) < 1e-5
    safety = {question.safety for question in load_questions() if question.safety}
    told = [p.chosen for pairs in by_question.values() for p in pairs]
    assert not any(line in answer for line in safety for answer in told)


@pytest.mark.parametrize("activations_mib", [0, 64])
def test_gradients_of_pairs_are_exact(activations_mib: int) -> None:
    """Alone and beside others, with what is kept of frozen layers and without."""
    task = task_of(activations_mib=activations_mib, lora_modules="q_proj,v_proj")
    scatter(task.vlm)
    lessons = lessons_of(task)
    some = spread(lessons, 5)
    batches = [some, some[:1], some[::-1][:3]]
    report = check_exactness(task.vlm.model, lessons.losses, batches, rows_per_example=2)
    assert report.is_exact, report.problems
    assert report.num_examples == len(some)


def test_one_pair_moves_the_clipped_sum_by_no_more_than_the_bound() -> None:
    """And reaches it: gradients of pairs are longer than the default clipping norm."""
    task = task_of()
    scatter(task.vlm)
    lessons = lessons_of(task)
    some = spread(lessons)
    clipped = clipped_sum_of(
        task.vlm.model,
        lambda drawn: lessons.losses([some[place] for place in drawn]),
        max_grad_norm=CLIP,
        rows_per_example=2,
    )
    draw = draw_batches(len(some), most=4)
    report = fuzz_sensitivity(clipped, draw, max_grad_norm=CLIP, trials=12, seed=0)
    assert report.is_bounded, report
    assert report.largest > 0.9


def test_margins_less_their_mean_over_the_batch_would_be_found_out() -> None:
    """As with a baseline that is estimated over a batch, which other objectives have."""
    task = task_of()
    scatter(task.vlm)
    lessons = lessons_of(task)
    some = spread(lessons)

    def coupled(drawn: Sequence[int]) -> torch.Tensor:
        margins = lessons.comparisons.margins([lessons.places[some[place]] for place in drawn])
        return torch.nn.functional.softplus(10 * (margins.mean() - margins))

    report = check_exactness(task.vlm.model, coupled, [[0, 1, 2], [3, 4]], rows_per_example=2)
    assert not report.is_exact
    clipped = clipped_sum_of(task.vlm.model, coupled, max_grad_norm=1e-6, rows_per_example=2)
    draw = draw_batches(len(some), most=4)
    found = fuzz_sensitivity(clipped, draw, max_grad_norm=1e-6, trials=8, seed=0)
    assert not found.is_bounded


@pytest.mark.parametrize("grouped", [False, True])
def test_the_base_is_asked_also_while_layers_emit_gradients(grouped: bool) -> None:
    """There PEFT's own way to turn an adapter off would be passed over."""
    task = task_of()
    scatter(task.vlm)
    first, again = lessons_of(task), lessons_of(task_of())
    some = spread(first, 3)
    with ExampleGradients(task.vlm.model, capacity=4, grouped=grouped):
        inside = first.losses(some)
    scatter(again.comparisons._vlm)
    torch.testing.assert_close(inside, again.losses(some), atol=1e-5, rtol=0)
    assert float((inside - torch.tensor(2.0).log()).abs().max().detach()) > 1e-4


@pytest.mark.parametrize(
    "unit",
    [
        {},
        {"unit": "user", "sampled": "user", "examples_per_user": 4},
        {"unit": "user", "examples_per_user": 2},
    ],
    ids=["pairs", "users", "users by pairs"],
)
def test_a_run_on_pairs_says_what_an_example_is_and_what_it_cost(
    tmp_path: Path, unit: dict[str, object]
) -> None:
    config = config_of(**unit)
    run, task = RunFolder.create(tmp_path / "run"), task_of(**unit)
    outcome = run_federation(
        config,
        run,
        task,
        on_round=lambda done, state, _: publish(run, task, state, rounds_done=done) and None,
    )
    card = resolve("run", tmp_path).card
    assert outcome.rounds_done == 1
    assert card.examples == "preference_pairs"
    assert card.data_licence.startswith("Apache-2.0")
    assert card.worst is not None
    assert 7.5 < card.worst.epsilon <= 8
    assert card.worst.unit == config.unit
    assert any(float(value.abs().max()) > 0 for value in outcome.state.values())
    assert (run.adapter_dir / "projector.safetensors").is_file()
    if unit.get("sampled", "example") == "example" and unit:
        users = [lessons_of(task, owner).users for owner in task.owned]
        assert max(own.count(user) for own in users for user in own) <= 2


def test_flower_nodes_train_on_pairs_and_a_node_with_other_data_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portraits_file: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(ROOT)
    client, server = import_module("clients.app"), import_module("server.app")
    plan = config_of(num_owners=3, min_replies=2)
    settings = {**plan.as_mapping(), "run_folder": str(tmp_path / "run")}
    own = {
        "owner": "lab",
        "ledger": str(tmp_path / "lab.jsonl"),
        "data": str(portraits_file),
    }
    nodes = [{"partition-id": 0}, {"partition-id": 1}, own]
    grid = LocalGrid(client.app, nodes, run_config=settings)
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=settings)
    with grid.activated():
        server.app(grid, context)
    card = resolve("run", tmp_path).card
    assert set(card.per_owner) == {"node-1000", "node-1001"}
    assert card.examples == "preference_pairs"
    assert not (tmp_path / "lab.jsonl").exists()
    assert len(PrivacyLedger.open(next((tmp_path / "home").rglob("*.jsonl"))).owners()) == 2


def test_what_is_learnt_and_what_an_example_is_go_together() -> None:
    with pytest.raises(ValueError, match="Expected examples = 'preference_pairs' with objective"):
        TrainConfig.from_mapping({"objective": "preferences"})
    with pytest.raises(ValueError, match="Expected examples = 'portraits' or 'conversations'"):
        TrainConfig.from_mapping({"examples": "preference_pairs"})
    with pytest.raises(ValueError, match="objective to be one of answers, preferences"):
        TrainConfig(objective="both")
    with pytest.raises(ValueError, match="beta > 0"):
        TrainConfig(beta=0.0)
    assert TrainConfig(**PREFERENCES).objective == "preferences"


def test_data_that_are_no_pairs_are_refused(portraits_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="preference_pairs to train on, .* got portraits"):
        AssistantTask.build(config_of(), shared_data=portraits_file)
    with pytest.raises(DataError, match="they need no data"):
        AssistantTask.build(config_of(), root=tmp_path)


def test_the_default_plan_of_pairs_draws_about_its_batch() -> None:
    plan = TrainConfig(**PREFERENCES)
    each = len(preference_pairs(part="private")) / plan.num_owners
    assert plan.sample_rate * each == pytest.approx(plan.expected_batch_size, rel=0.05)
