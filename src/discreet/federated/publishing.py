"""Put the averaged adapter of a round on the shelf, with a card that says what it is and cost."""

from collections.abc import Mapping
from dataclasses import asdict

from discreet.artifacts import RunFolder, code_commit, sha256_of_folder
from discreet.federated.lessons import NOT_STATED
from discreet.federated.messages import State
from discreet.federated.task import AssistantTask, spec_of
from discreet.model import load_adapter_state, save_adapter
from discreet.privacy import PrivacyLedger
from discreet.registry import AdapterCard, read_card, write_card
from discreet.types import PrivacyStatement


def publish(
    run: RunFolder,
    task: AssistantTask,
    state: State,
    *,
    rounds_done: int,
    spent: Mapping[str, PrivacyStatement] | None = None,
) -> AdapterCard:
    """Write `adapter/` and `card.json` of a run; an older adapter is replaced whole.

    Args:
        run: Where the run lives; its ledger says what was spent.
        task: Whose model and plan made the adapter.
        state: The averaged adapter.
        rounds_done: Rounds that are in it.
        spent: What each owner has spent; the ledger of the run by default. A server that holds no
            ledger says here what its nodes told it.
    """
    load_adapter_state(task.vlm, state)
    before = read_card(run) if run.card_path.exists() else None
    with run.new_adapter() as folder:
        save_adapter(task.vlm, spec_of(task.config), folder)
    if spent is None:
        ledger = PrivacyLedger.open(run.ledger_path)
        spent = {str(owner): ledger.spent(owner) for owner in ledger.owners()}
    card = AdapterCard(
        run=run.id,
        base_name=task.vlm.name,
        base_sha256=task.vlm.base_hash,
        adapter_sha256=sha256_of_folder(run.adapter_dir),
        lora=asdict(spec_of(task.config)),
        per_owner=dict(spent),
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
