"""Put the averaged adapter of a round on the shelf, with a card that says what it is and cost."""

from dataclasses import asdict

from discreet.aggregation import State
from discreet.artifacts import RunFolder, code_commit, sha256_of_folder
from discreet.federated.evidence import statements_of
from discreet.federated.lessons import NOT_STATED
from discreet.federated.task import AssistantTask, spec_of
from discreet.model import load_adapter_state, save_adapter
from discreet.registry import AdapterCard, read_card, write_card


def publish(
    run: RunFolder,
    task: AssistantTask,
    state: State,
    *,
    rounds_done: int,
) -> AdapterCard:
    """Write `adapter/` and `card.json` of a run; an older adapter is replaced whole.

    Args:
        run: Where the run lives; its ledger says what was spent, or else what its nodes said.
        task: Whose model and plan made the adapter.
        state: The averaged adapter.
        rounds_done: Rounds that are in it.
    """
    load_adapter_state(task.vlm, state)
    before = read_card(run) if run.card_path.exists() else None
    with run.new_adapter() as folder:
        written = save_adapter(task.vlm, spec_of(task.config), folder)
    card = AdapterCard(
        run=run.id,
        base_name=task.vlm.name,
        base_sha256=task.vlm.base_hash,
        adapter_sha256=sha256_of_folder(run.adapter_dir),
        lora=asdict(written),
        per_owner=statements_of(run),
        data_licence=_licence(task, before),
        examples=task.config.examples,
        seed=task.config.seed,
        rounds_done=rounds_done,
        reproducible=task.config.reproducible or bool(before and before.reproducible),
        commit=code_commit(),
    )
    write_card(run, card)
    return card


def _licence(task: AssistantTask, before: AdapterCard | None) -> str:
    """Return the licence of everything the adapter has learnt from, in this part and earlier."""
    if before is not None and before.data_licence != task.shared.licence:
        return NOT_STATED
    return task.shared.licence
