"""ROUGE-L where a longer answer is no better: both texts have the same number of words.

F-measure of the longest common subsequence of words (Lin 2004, "ROUGE", section 3). A longer answer
finds more of a reference by chance, so that the answer is cut after as many words as the reference
has; a shorter one is left as it is, and pays by its recall.
"""

import re

_WORD = re.compile(r"\w+")


def rouge_at_length(answer: str, reference: str) -> float:
    """Return ROUGE-L (F1) of an answer, cut to the reference's number of words, 0 to 1.

    >>> rouge_at_length("Wash your hands well. And so on and so on.", "Wash both hands well.")
    0.75
    """
    wanted = _WORD.findall(reference.lower())
    said = _WORD.findall(answer.lower())[: len(wanted)]
    common = longest_common(said, wanted)
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def longest_common(first: list[str], second: list[str]) -> int:
    """Return the length of the longest common subsequence.

    >>> longest_common("a b c d".split(), "a x c d".split())
    3
    """
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for place, other in enumerate(second, start=1):
            kept, row[place] = (
                row[place],
                (before + 1 if word == other else max(row[place], row[place - 1])),
            )
            before = kept
    return row[-1]
