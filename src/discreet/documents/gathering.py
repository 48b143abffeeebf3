"""All evidence about one run in one context, as documents read it.

Reads files and policies; measures nothing and writes nothing.

    evidence = gather(
        RunFolder(REFERENCE_DIR), load_policy("healthcare"), load_notice("healthcare", "en"),
        language="en", folders=[Path("docs/results")],
    )
    evidence.findings["spent.worst"]
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from discreet.artifacts import RunFolder
from discreet.assistant import Policy
from discreet.consent import Notice
from discreet.documents.evidence import Findings
from discreet.documents.of_measures import Subject, facts_of_results, measures
from discreet.documents.of_policy import facts_of_notice, facts_of_policy
from discreet.documents.of_run import facts_of_run
from discreet.documents.wording import Words
from discreet.registry import read_card
from discreet.types import Language


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known of a run and a policy, in the words of one language."""

    subject: Subject
    language: Language
    findings: Findings = field(repr=False)


def gather(
    run: RunFolder,
    policy: Policy,
    notice: Notice | None,
    *,
    language: Language,
    folders: Sequence[Path] = (),
) -> Evidence:
    """Return what there is evidence for.

    Args:
        run: The run folder; results are looked for in its `audits/` first.
        policy: What the assistant may know.
        notice: What people are asked, in the same language; None: nobody wrote it yet.
        language: Of the documents.
        folders: Where results of benchmarks, audits and manifests lie besides.

    Raises:
        ArtifactCorrupt: if a file that is there is damaged, or of another version.
    """
    words = Words(language)
    card = read_card(run) if run.card_path.exists() else None
    subject = Subject(
        run=run.id,
        base=card.base_name if card else "",
        context=policy.context,
        adapter_sha256=card.adapter_sha256 if card else "",
    )
    found = {
        **facts_of_run(run, words),
        **facts_of_policy(policy, words),
        **measures(language),
        **facts_of_results([run.audits_dir, *folders], subject, words),
    }
    if notice is not None:
        found |= facts_of_notice(notice, words)
    return Evidence(subject=subject, language=language, findings=found)
