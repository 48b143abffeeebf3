"""Facts of a run folder: its plan, its card, what was spent, its rounds.

Nothing local and no owner's name is among them: documents are handed on. A file that is not there
gives no facts, so that what would have been said of it is shown as missing.

    facts_of_run(RunFolder(REFERENCE_DIR), Words("en"))["spent.worst"][0].values["epsilon"]
"""

from discreet.artifacts import RunFolder
from discreet.documents.evidence import Fact, Findings, Origin, fact, none_there, origin_of
from discreet.documents.wording import Words
from discreet.registry import AdapterCard, read_card
from discreet.report import RunRecord, read_run
from discreet.types import PrivacyStatement, rounded_up


def facts_of_run(run: RunFolder, words: Words) -> Findings:
    """Return what a run folder says.

    Raises:
        ArtifactCorrupt: if a file that is there is damaged.
    """
    found: dict[str, tuple[Fact, ...]] = {}
    if run.card_path.exists():
        found |= _of_card(read_card(run), origin_of(run.card_path), words)
    if run.config_path.exists():
        record = read_run(run)
        found |= _of_plan(record, origin_of(run.config_path), words)
        found |= _of_spending(run, record, words)
        if record.rounds:
            found |= _of_rounds(record, origin_of(run.metrics_path), words)
    return found


def statement(spent: PrivacyStatement, words: Words) -> dict[str, str]:
    """Return the four parts of a statement, which no sentence may take apart."""
    return {
        "epsilon": rounded_up(spent.epsilon).replace(".", "," if words.language == "fr" else "."),
        "delta": f"{spent.delta:g}",
        "unit": words.term(spent.unit),
        "relation": spent.neighbouring_relation,
    }


def _of_card(card: AdapterCard, origin: Origin, words: Words) -> dict[str, tuple[Fact, ...]]:
    lora = {name: str(card.lora.get(name, "?")) for name in ("r", "layers")}
    modules = words.terms(card.lora.get("target_modules", ()))
    return {
        "card.run": (fact(origin, "run", run=card.run, created=card.created),),
        "card.base": (fact(origin, "base", name=card.base_name, sha256=card.base_sha256),),
        "card.adapter": (
            fact(origin, "lora", sha256=card.adapter_sha256, modules=modules, **lora),
        ),
        "card.licence": (fact(origin, "data.licence", licence=card.data_licence),),
        "card.examples": (fact(origin, "data.examples", kind=words.term(card.examples)),),
        "card.chance": (fact(origin, "randomness", randomness=words.term(card.randomness)),),
        "card.noise": (fact(origin, "reproducible", noise=words.term(_noise(card))),),
        "card.commit": (
            (fact(origin, "commit", commit=card.commit),)
            if card.commit
            else none_there(origin, "commit")
        ),
    }


def _noise(card: AdapterCard) -> str:
    """Return the term for where the noise came from."""
    if not card.per_owner:
        return "noise_none"
    return "noise_public" if card.reproducible else "noise_secret"


def _of_plan(record: RunRecord, origin: Origin, words: Words) -> dict[str, tuple[Fact, ...]]:
    """Return what the plan says; a field that an older plan lacks gives no fact."""
    config = record.config
    groups = {
        "plan.training": ("objective", "num_owners", "num_rounds", "local_steps"),
        "plan.clipping": ("max_grad_norm", "sample_rate", "expected_batch_size", "unit"),
    }
    found: dict[str, tuple[Fact, ...]] = {
        key: (fact(origin, names[0], **{name: words.term(config[name]) for name in names}),)
        for key, names in groups.items()
        if config.keys() >= set(names)
    }
    if record.target is not None:
        promise = fact(origin, "target_epsilon", **statement(record.target, words))
        found["plan.promise"] = (promise,)
    at = "secure_aggregation"
    is_secure = config.get(at, False)
    found["plan.secure"] = (
        (fact(origin, at, is_so="true"),) if is_secure else none_there(origin, at)
    )
    return found


def _of_spending(run: RunFolder, record: RunRecord, words: Words) -> dict[str, tuple[Fact, ...]]:
    """Return what the owner spent who spent most; nothing where no file says it.

    An adapter that was trained without privacy promises nothing, whatever its plan says.
    """
    if record.card is not None and not record.card.per_owner:
        nothing = none_there(origin_of(run.card_path), "privacy.per_owner")
        return dict.fromkeys(("spent.worst", "plan.promise", "plan.clipping"), nothing)
    if not record.owners or record.worst is None:
        return {}
    ledger = "ledger_shared" if len(record.owners) > 1 else "ledger_says"
    whose = words.term("nodes_say" if record.is_said else ledger)
    owners = str(len(record.owners))
    told = statement(record.worst, words) | {"owners": owners, "whose": whose}
    origin = origin_of(run.path / record.owners_from)
    return {"spent.worst": (fact(origin, "worst owner", **told),)}


def _of_rounds(record: RunRecord, origin: Origin, words: Words) -> dict[str, tuple[Fact, ...]]:
    dropped = sum(record.dropped.values())
    found = {
        "rounds.done": (fact(origin, "replies", done=str(record.rounds_done)),),
        "rounds.dropped": (
            (fact(origin, "dropped", count=str(dropped)),)
            if dropped
            else none_there(origin, "dropped")
        ),
    }
    if record.total_bytes is not None:
        megabytes = words.number(record.total_bytes / 1e6, 2)
        found["rounds.bytes"] = (fact(origin, "bytes_up", megabytes=megabytes),)
    return found
