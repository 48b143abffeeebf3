"""What goes into one turn of the assistant, and what comes out of it.

>>> Turn(question="What helps?", declared={"age_band": "child"}).purpose is None
True
"""

from dataclasses import dataclass, field

from PIL.Image import Image

from discreet.assistant.gate import Decision
from discreet.assistant.safety import Refused
from discreet.types import Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What a person asks, with what they show and declare."""

    question: str = field(repr=False)
    image: Image | None = field(default=None, repr=False)
    declared: dict[str, str] = field(default_factory=dict, repr=False)
    """For example `{"age_band": "child"}`; a declared value wins over an estimate."""
    purpose: str | None = None
    """Of the policy; None is its default one."""
    consented: frozenset[str] = frozenset()
    """What the person consented to, by names of `Policy.consentable`; nothing else is estimated."""
    minor: bool = False
    """Whether the person is known to be a minor; who declares to be a child is one, too."""

    def __post_init__(self) -> None:
        """Replace halves of characters, which no tokenizer takes; refuse consents that are no set.

        Raises:
            TypeError: if what was consented to is a text, of which a part would be a name.
        """
        if not isinstance(self.consented, frozenset):
            raise TypeError("Expected consented as a frozenset of names, got something else.")
        whole = self.question.encode("utf-8", "replace").decode()
        object.__setattr__(self, "question", whole)

    @property
    def is_of_minor(self) -> bool:
        """Tell whether the person is a minor, by what was said."""
        return self.minor or self.declared.get("age_band") == "child"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The answer and why it is the way it is."""

    text: str = field(repr=False)
    mode: Mode
    note_id: str | None = field(repr=False)
    """The vetted note it rests on; None when there was none."""
    note_text: str | None = field(repr=False)
    """What the note says: the facts, whatever the responder made of them."""
    replaced: str | None
    """Why the note had to speak for the responder; None if it had not."""
    left_out: str | None
    """Why the picture was not used; None if it was, or if there was none to use."""
    decision: Decision = field(repr=False)
    seconds: float
    note_question: str | None = field(default=None, repr=False)
    """What the note is called: the question that it answers."""
    near: tuple[str, ...] = field(default=(), repr=False)
    """Where no note fits: what the nearest ones of the same context are called."""
    note_cut: int = 0
    """Sentences at the note's end that the responder was not shown: they did not fit."""
    added: int = 0
    """Sentences of the note that were added for key facts which the responder left unsaid."""
    unsaid: int = 0
    """Sentences of the responder that were not shown because the note does not bear them out."""
    drafts: int = 0
    """Answers that the responder wrote, of which this one was chosen; 0 where it was not asked."""
    refused: Refused | None = None
    """What was asked for and is never given; the text says so, and what the note says."""
