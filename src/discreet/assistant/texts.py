"""What the assistant says in fixed words, in each language, and the words of danger to life.

No model writes any of this. Danger is heard in every language, whatever the notes are written in,
and with or without accents.

    >>> is_emergency("I have chest pain"), is_emergency("il n'arrive plus a respirer")
    (True, True)
    >>> is_emergency("Why is salt bad?")
    False
"""

import re
import unicodedata
from dataclasses import dataclass

from discreet.types import Language


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """The fixed texts of one language."""

    no_note: str
    """Where no vetted note fits."""
    emergency: str
    """Before anything else where life may be in danger."""
    note_says: str
    """Before the whole note."""
    note_also_says: str
    """Before sentences of the note that the answer lacks."""


TEXTS: dict[Language, Texts] = {
    "en": Texts(
        no_note=(
            "I have no vetted note about that, so I would rather not answer. I can help with the "
            "topics that my notes cover, or you can ask a person you trust."
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
        no_note=(
            "Je n'ai pas de note vérifiée à ce sujet, et je préfère donc ne pas répondre. Je peux "
            "aider sur les sujets de mes notes, ou vous pouvez demander à une personne de "
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

_DANGER = re.compile(
    r"chest (?:pain|hurts)|heart attack|(?:can ?no|can['’]?)t breathe|not breathing"
    r"|(?:trouble|hard|difficulty) (?:to )?breath|chok(?:e|ing)\b|suicid|kill (?:my|him|her)self"
    r"|(?:want|wish) to die|harm(?:ing)? myself|overdos|too many (?:pills|tablets)|swallowed"
    r"|poisoned|unconscious|fainted|passed out|lot of blood|bleeding (?:a lot|badly|heavily)"
    r"|having a stroke",
    re.IGNORECASE,
)
_DANGER_FR = re.compile(
    r"(?:mal|douleur\w*|serre\w*) (?:\w+ ){0,3}(?:a |dans |de )?(?:la |ma |sa )?poitrine"
    r"|poitrine (?:qui )?(?:me |lui )?(?:fait mal|serre)|crise cardiaque|infarctus"
    r"|(?:arrive|peu[xt]|parvien[st]) (?:plus|pas) (?:a |bien )*respirer|respire (?:plus|pas)\b"
    r"|(?:mal|peine|difficultes?) a respirer|etouff|suicid|me tuer|se tuer|finir avec la vie"
    r"|(?:veux|voudrais|envie de) (?:plus vivre|mourir)|(?:me|se) faire du mal|overdose|surdos"
    r"|trop de (?:comprimes|cachets|pilules|medicaments)|\b(?:ai|a|avait) avale(?:e?s?)\b"
    r"|empoisonn|intoxique"
    r"|inconscient|evanoui|perdu connaissance|(?:beaucoup|plein) de sang"
    r"|saign\w+ (?:beaucoup|abondamment|fort)|(?:fait|faire) un avc",
    re.IGNORECASE,
)


def is_emergency(question: str) -> bool:
    """Return whether a question speaks of danger to life, by its words alone."""
    letters = unicodedata.normalize("NFKD", question.replace("’", "'"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return bool(_DANGER.search(question) or _DANGER_FR.search(plain))
