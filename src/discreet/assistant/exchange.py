"""A question, its answer and why; what of it is shown, what is exported, and what fades."""

from dataclasses import dataclass, field, replace
from typing import Any

from discreet.assistant.gate import Decision
from discreet.assistant.handover import Part
from discreet.assistant.turn import Reply
from discreet.assistant.why import Why, faded


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A question, its answer and why."""

    question: str = field(repr=False)
    reply: Reply = field(repr=False)
    why: Why = field(repr=False)
    supported: bool = False
    """Whether the answer begins with words for somebody who is not well, and a card is offered."""

    def faded(self) -> "Exchange":
        """Return the same without the values of estimates, which are kept for their turn alone."""
        kept = tuple(seen for seen in self.reply.decision.passed if seen.source == "declared")
        if len(kept) == len(self.reply.decision.passed):
            return self
        decision = Decision(passed=kept, withheld=self.reply.decision.withheld)
        return replace(self, reply=replace(self.reply, decision=decision), why=faded(self.why))

    def as_told(self) -> dict[Part, str]:
        """Return what may be on a hand-over card, if the person wants it told."""
        note = self.why.note_question
        told: dict[Part, str] = {"question": self.question, "answer": self.reply.text}
        return told if note is None else {**told, "note": note}

    def as_observed(self) -> dict[str, Any]:
        """Return what an export says of the turn itself; plain values."""
        return {
            "answer": self.reply.text,
            "note": self.why.note_question,
            "mode": self.reply.mode,
            "picture_left_out": self.why.left_out,
        }

    def inferred(self) -> list[dict[str, Any]]:
        """Return what an export says of what was estimated; plain values."""
        return [
            {
                "attribute": one.attribute,
                "value": one.value,
                "confidence": round(one.confidence, 3),
                "used": one.passed,
                "changed": list(one.changed),
            }
            for one in self.why.observed
            if one.source == "estimated"
        ]
