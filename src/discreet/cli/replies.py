"""A reply in words for people, and as a record for machines: the answer and what shaped it.

>>> _sentences(2)
'2 sentences'
"""

from typing import Any

from discreet.assistant import Reply, percent_sure
from discreet.types import Observation


def as_record(reply: Reply) -> dict[str, Any]:
    """Return a reply for machines: the answer and everything that shaped it."""
    return {
        "answer": reply.text,
        "mode": reply.mode,
        "note": reply.note_id,
        "note_question": reply.note_question,
        "note_text": reply.note_text,
        "note_cut": reply.note_cut,
        "near_notes": list(reply.near),
        "replaced": reply.replaced,
        "added": reply.added,
        "unsaid": reply.unsaid,
        "drafts": reply.drafts,
        "picture_left_out": reply.left_out,
        "used": [
            {
                "attribute": s.attribute,
                "value": s.value,
                "source": s.source,
                "confidence": round(s.confidence, 3),
            }
            for s in reply.decision.passed
        ],
        "withheld": [
            {"attribute": w.attribute, "reason": w.reason} for w in reply.decision.withheld
        ],
        "seconds": round(reply.seconds, 2),
    }


def why(reply: Reply) -> str:
    """Return what shaped an answer, and the note that it should have kept to."""
    used = ", ".join(f"{s.attribute}={s.value} ({_source(s)})" for s in reply.decision.passed)
    picture = "the picture itself" if reply.mode == "native" else ""
    seen = ", ".join(part for part in (picture, used) if part) or "nothing about you"
    note = f'"{reply.note_question}" ({reply.note_id})' if reply.note_id else "none"
    left_out = f"; picture left out: {reply.left_out}" if reply.left_out else ""
    said = f"why: {seen}{left_out}; note: {note}; {reply.seconds:.1f} s{changed(reply)}"
    return f"{said}\n{vetted(reply)}"


def changed(reply: Reply) -> str:
    """Return a line for each thing that the guard did to an answer, or nothing."""
    lines = []
    if reply.drafts > 1:
        lines.append(f"chosen from {reply.drafts} drafts")
    if reply.replaced:
        lines.append(f"stopped: {reply.replaced}")
    if reply.unsaid:
        lines.append(f"not shown: {_sentences(reply.unsaid)} that the note does not bear out")
    if reply.added:
        lines.append(f"added: {_sentences(reply.added)} of the note, for facts left unsaid")
    return "".join(f"\n{line}" for line in lines)


def _sentences(count: int) -> str:
    return f"{count} sentence" if count == 1 else f"{count} sentences"


def cut(reply: Reply) -> str:
    """Return a line about what of the note did not fit, or nothing."""
    if not reply.note_cut:
        return ""
    return (
        f"\ncut: the last {reply.note_cut} sentences of the note did not fit beside the question "
        "and were not read for the answer"
    )


def vetted(reply: Reply) -> str:
    """Return the facts that somebody vouches for, whatever the responder made of them."""
    if reply.note_text is None:
        return "vetted note: none"
    return f'From the note "{reply.note_question}": {reply.note_text}{cut(reply)}'


def _source(seen: Observation) -> str:
    sure = f", {percent_sure(seen.confidence)}%" if seen.source == "estimated" else ""
    return f"{seen.source}{sure}"
