"""What the assistant says in fixed words, in each language. No model writes any of this.

When the emergency text is due, `emergency` says.

    >>> TEXTS["fr"].note_says
    'La note dit :'
"""

from dataclasses import dataclass

from discreet.types import Language


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """The fixed texts of one language."""

    no_note: str
    """Where no vetted note fits."""
    can_tell: str
    """Before the questions of the nearest notes, where no note fits."""
    ask_a_person: str
    """After them."""
    ask_else: str
    """Where no note is near either."""
    emergency: str
    """Before anything else where life may be in danger."""
    note_says: str
    """Before the whole note."""
    note_also_says: str
    """Before sentences of the note that the answer lacks."""


TEXTS: dict[Language, Texts] = {
    "en": Texts(
        no_note="I have no vetted note about that, so I would rather not answer.",
        can_tell="I can tell you about:",
        ask_a_person="You can also ask a person you trust.",
        ask_else=(
            "I can help with the topics that my notes cover, or you can ask a person you trust."
        ),
        emergency=(
            "This may be an emergency. Call your local emergency number now, or ask someone near "
            "you to call. If you think of harming yourself, you are not alone: call now, and stay "
            "with someone."
        ),
        note_says="The note says:",
        note_also_says="The note also says:",
    ),
    "fr": Texts(
        no_note="Je n'ai pas de note vérifiée à ce sujet, et je préfère donc ne pas répondre.",
        can_tell="Je peux répondre à :",
        ask_a_person="Vous pouvez aussi demander à une personne de confiance.",
        ask_else=(
            "Je peux aider sur les sujets de mes notes, ou vous pouvez demander à une personne de "
            "confiance."
        ),
        emergency=(
            "C'est peut-être une urgence. Appelez tout de suite le numéro d'urgence, ou demandez à "
            "quelqu'un près de vous d'appeler. Si vous pensez à vous faire du mal, il y a de "
            "l'aide : appelez maintenant, et restez avec quelqu'un."
        ),
        note_says="La note dit :",
        note_also_says="La note dit aussi :",
    ),
}
EMERGENCY = TEXTS["en"].emergency
NO_NOTE = TEXTS["en"].no_note
