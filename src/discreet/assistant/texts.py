"""What the assistant says in fixed words, in each language. No model writes any of this.

When the emergency text is due, `emergency` says.

    >>> TEXTS["fr"].note_says
    'La note dit :'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
    call: str
    """Before anything else where life may be in danger; `{number}` is whom to call."""
    any_number: str
    """Whom to call where no country is known."""
    one_number: str
    """A number of whom to call: `{number}`."""
    between_numbers: str
    stay: str
    """After `call`."""
    line: str
    """Where there is a line for the danger: `{name}`, `{number}`."""
    write: str
    """Where there is a number for messages: `{number}`."""
    no_dose: str
    """Before anything else where somebody asks how much of a medicine to take."""
    no_diagnosis: str
    """Before anything else where somebody asks which illness they have."""
    support: str
    """Before the answer, where somebody says that they are not well in themselves."""
    note_says: str
    """Before the whole note."""
    note_also_says: str
    """Before sentences of the note that the answer lacks."""

    @property
    def emergency(self) -> str:
        """What is said of danger to life where no country is known."""
        return self.emergency_with(())

    def emergency_with(self, numbers: Sequence[str]) -> str:
        """Return the same with the numbers of a country."""
        return f"{self.call.format(number=self.called(numbers))} {self.stay}"

    def called(self, numbers: Sequence[str]) -> str:
        """Return whom to call, in words; without numbers, whoever is called there."""
        named = [self.one_number.format(number=number) for number in numbers]
        return self.between_numbers.join(named) or self.any_number

    def refusal(self, asked: Literal["dose", "diagnosis"]) -> str:
        """Return what is said to who asks for what is never given."""
        return self.no_dose if asked == "dose" else self.no_diagnosis


TEXTS: dict[Language, Texts] = {
    "en": Texts(
        no_note="I have no vetted note about that, so I would rather not answer.",
        can_tell="I can tell you about:",
        ask_a_person="You can also ask a person you trust.",
        ask_else=(
            "I can help with the topics that my notes cover, or you can ask a person you trust."
        ),
        call="This may be an emergency. Call {number} now, or ask someone near you to call.",
        any_number="your local emergency number",
        one_number="{number}",
        between_numbers=" or ",
        stay=(
            "If you think of harming yourself, you are not alone: call now, and stay with someone."
        ),
        line="You can also call {name}: {number}.",
        write="If you cannot speak, send a message to {number}.",
        no_dose=(
            "I do not say how much of a medicine to take. The leaflet, a pharmacist or a doctor "
            "can tell you what is right for you."
        ),
        no_diagnosis=(
            "I cannot tell which illness somebody has. A doctor or a nurse can find out with you."
        ),
        support=(
            "That sounds hard, and you do not have to be alone with it. If you want, I show you "
            "how to reach a person."
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
        call=(
            "C'est peut-être une urgence. Appelez tout de suite {number}, ou demandez à "
            "quelqu'un près de vous d'appeler."
        ),
        any_number="le numéro d'urgence",
        one_number="le {number}",
        between_numbers=" ou ",
        stay=(
            "Si vous pensez à vous faire du mal, il y a de l'aide : appelez maintenant, et restez "
            "avec quelqu'un."
        ),
        line="Vous pouvez aussi appeler {name} : {number}.",
        write="Si vous ne pouvez pas parler, envoyez un SMS au {number}.",
        no_dose=(
            "Je ne dis pas quelle quantité d'un médicament prendre. La notice, une pharmacie ou un "
            "médecin peut vous dire ce qui est bon pour vous."
        ),
        no_diagnosis=(
            "Je ne peux pas dire quelle maladie quelqu'un a. Un médecin ou une infirmière peut "
            "le chercher avec vous."
        ),
        support=(
            "Cela semble difficile, et vous n'avez pas à rester sans aide. Si vous voulez, je vous "
            "montre comment joindre quelqu'un."
        ),
        note_says="La note dit :",
        note_also_says="La note dit aussi :",
    ),
}
EMERGENCY = TEXTS["en"].emergency
NO_NOTE = TEXTS["en"].no_note
