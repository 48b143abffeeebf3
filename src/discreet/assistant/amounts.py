"""Numbers of a text with their sign, decimals and unit, however they are written.

Digits of any script, words, Roman numerals, fractions and signs such as ½, ² and ⑦ count. Units
are those of the list below; any other word behind a number is none. Nothing is converted: two
hours are not 120 minutes.

    >>> sorted((str(one.value), one.unit) for one in amounts("Wait 1.5 hours, or two days."))
    [('2', 'day'), ('3/2', 'hour')]
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

_ONES = "one two three four five six seven eight nine"
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_OTHER = {
    **{"couple": Fraction(2), "pair": Fraction(2), "double": Fraction(2)},
    **{"twice": Fraction(2), "thrice": Fraction(3), "triple": Fraction(3), "treble": Fraction(3)},
    **{"quadruple": Fraction(4), "dozen": Fraction(12), "half": Fraction(1, 2)},
    **{"halve": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)},
    **{"fifth": Fraction(1, 5), "sixth": Fraction(1, 6), "seventh": Fraction(1, 7)},
    **{"eighth": Fraction(1, 8), "ninth": Fraction(1, 9), "tenth": Fraction(1, 10)},
}
_VALUES = {
    **{word: Fraction(value) for value, word in enumerate(_ONES.split(), 1)},
    **{word: Fraction(value) for value, word in enumerate(_TEENS.split(), 10)},
    **{word: Fraction(10 * value) for value, word in enumerate(_TENS.split(), 2)},
    **_OTHER,
}
_OWN_UNIT = {
    **dict.fromkeys(("twice", "thrice"), "time"),
    **dict.fromkeys(("double", "triple", "treble", "quadruple"), "fold"),
}
_TIMES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
NUMBER_WORDS = frozenset({*_VALUES, *_TIMES})
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_DOSE_FORMS = (
    "tablet tablets|pill pills|capsule capsules|drop drops|dose doses|puff puffs|unit units"
    "|spoon spoons spoonful spoonfuls|teaspoon teaspoons|tablespoon tablespoons|cup cups"
    "|glass glasses|bottle bottles|pack packs packet packets"
    "|mcg μg microgram micrograms|mg milligram milligrams|g gram grams gramme grammes"
    "|kg kilo kilos kilogram kilograms|ml millilitre millilitres milliliter milliliters"
    "|l litre litres liter liters"
)
_OTHER_FORMS = (
    "mm millimetre millimetres millimeter millimeters"
    "|cm centimetre centimetres centimeter centimeters|m metre metres meter meters"
    "|km kilometre kilometres kilometer kilometers|inch inches|foot feet|mile miles"
    "|second seconds sec secs|minute minutes min mins|hour hours h hr hrs|day days|night nights"
    "|week weeks|month months|year years|time times|degree degrees ° °c °f|percent %"
    "|calorie calories kcal|euro euros €|dollar dollars"
)
UNITS = {
    form: forms.split()[0]
    for forms in f"{_DOSE_FORMS}|{_OTHER_FORMS}".split("|")
    for form in forms.split()
}
"""Ways to write a unit, and its name: `minutes` is a `minute`."""
DOSES = frozenset({"fold", *(forms.split()[0] for forms in _DOSE_FORMS.split("|"))})
"""What can be taken, and how many times of it: a number without a unit never stands for it."""

_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_TIME = "|".join(_TIMES)
_WORD = (
    rf"(?:{_TENS.replace(' ', '|')})[-\s](?:{_ONES.replace(' ', '|')})"
    rf"|{'|'.join(sorted(_VALUES, key=len, reverse=True))}"
)
_NUMBER = re.compile(
    r"(?P<sign>(?<![^\s(=])[-−–+])?"
    r"(?:(?P<name>[^\W\d_]+\d+\w*)|(?P<digits>\d+(?:[.,]\d+)*(?:/\d+)?)(?i:st|nd|rd|th)?"
    rf"|\b(?P<word>(?i:{_WORD}))(?:s|fold)?\b"
    r"|\b(?P<roman>(?=[IVXLCDM]{2})M*(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))\b"
    rf"|\b(?P<alone>(?i:an?))\b(?=\s(?i:{_UNIT})\b)|(?=\b(?i:{_TIME})))"
    rf"(?P<times>(?:[-\s]*(?i:{_TIME})s?\b)*)"
    rf"(?:[-\s]*(?!times?\s+(?:\d|(?i:{_WORD})\b))(?P<unit>(?i:{_UNIT}))(?!\w))?"
)
_JOINED = re.compile(r"\s*(?:,|-|–|to|or|and)\s*")
"""Between two numbers that share the unit of the second."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, and the unit behind it if there is one."""

    value: Fraction | str
    """Text where digits are part of a name, such as b12."""
    unit: str | None


def amounts(text: str, *, articles: bool = False) -> frozenset[Amount]:
    """Return the amounts of a text.

    Args:
        text: English prose.
        articles: Whether "an hour" is one hour, too.
    """
    plain = plain_text(text)
    read: dict[re.Match[str], Amount] = {}
    later: re.Match[str] | None = None
    for match in reversed([match for match in _NUMBER.finditer(plain) if match.group()]):
        read[match] = _read(match)
        if later and not match["unit"] and _JOINED.fullmatch(plain, match.end(), later.start()):
            read[match] = replace(read[match], unit=read[later].unit)
        later = match
    return frozenset(
        amount for match, amount in read.items() if articles or not _is_pronoun(match, amount)
    )


def are_borne_out(said: frozenset[Amount], known: frozenset[Amount]) -> bool:
    """Return whether each amount is a known one: the same number, with the same unit.

    A number may stand without its unit, and a known one without a unit may have any but a dose.
    """
    return all(
        any(
            one.value == other.value
            and (
                one.unit == other.unit
                or (one.unit is None and other.unit != "fold")
                or (other.unit is None and one.unit not in DOSES)
            )
            for other in known
        )
        for one in said
    )


def _is_pronoun(match: re.Match[str], amount: Amount) -> bool:
    """Tell whether "one" or "an" counts nothing that could be taken."""
    if match["alone"]:
        return True
    return (match["word"] or "").lower() == "one" and amount.unit not in DOSES


def _read(match: re.Match[str]) -> Amount:
    value: Fraction | str
    if match["name"]:
        value = match["name"].lower()
    elif match["digits"]:
        value = _of_digits(match["digits"])
    elif match["word"]:
        words = re.split(r"[-\s]", match["word"].lower())
        value = sum((_VALUES[word] for word in words), Fraction(0))
    elif match["roman"]:
        signs = [_ROMAN[sign] for sign in match["roman"]]
        after = [*signs[1:], 0]
        value = Fraction(sum(-s if s < n else s for s, n in zip(signs, after, strict=True)))
    else:
        value = Fraction(1)
    if isinstance(value, Fraction):
        times = re.findall(_TIME, match["times"], re.IGNORECASE)
        value *= prod(_TIMES[word.lower()] for word in times) * (1, -1)[match["sign"] in {*"-−–"}]
    unit = UNITS[match["unit"].lower()] if match["unit"] else None
    return Amount(value, _OWN_UNIT.get((match["word"] or "").lower(), unit))


def _of_digits(digits: str) -> Fraction:
    """Return a number; a comma is a decimal one unless three digits follow each."""
    upper, _, lower = digits.partition("/")
    whole = re.sub(r",(?=\d{3}(?!\d))", "", upper).replace(",", ".")
    first, *rest = whole.split(".")
    number = Fraction(f"{first}.{''.join(rest)}" if rest else first)
    return number / int(lower) if lower and int(lower) else number


def plain_text(text: str) -> str:
    """Return a text without unseen signs, with digits 0 to 9, and other numbers spelled in them.

    >>> plain_text("⑦ dou\u00adble ½ or ２")
    ' 7  double  1/2  or 2'
    """
    return unicodedata.normalize("NFKC", "".join(map(_spelled, text)))


def _spelled(sign: str) -> str:
    if unicodedata.category(sign) == "Cf":
        return ""
    value = unicodedata.numeric(sign, None)
    if value is None:
        return sign
    if unicodedata.category(sign) == "Nd":
        return str(int(value))
    return f" {Fraction(value).limit_denominator(1000)} "
