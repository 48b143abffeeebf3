"""Which article stands against what somebody may want to write into a policy.

It refuses nothing: attributes that are not in `VALUES` have no rule whatever they are called. This
only names the article in the error, by the words of the name.

>>> article_against("skin_tone"), article_against("face_recognition")
('ai-act-5-1-g', 'gdpr-9')
"""

import re
from collections.abc import Mapping

NO_EXPRESSION = ("education", "workplace")
"""Contexts in which inferring emotion is prohibited: `ai-act-5-1-f` of `law.toml`."""
_WORDS = {
    "ai-act-5-1-g": "race ethnicity ethnic skin complexion colour color origin nationality "
    "religion belief faith politics political opinion union philosophy orientation sexuality",
    "ai-act-annex-3-1-b": "gender sex male female man woman pronoun pronouns",
    "gdpr-9": "identity identification recognition face faces embedding embeddings template "
    "biometric biometrics fingerprint name who person health illness disability pain diagnosis",
    "ai-act-5-1-f": "emotion emotions mood feeling feelings stress attention engagement boredom",
    "gdpr-5-1-c": "age ages years birth birthday birthdate birthyear",
    "gdpr-8": "minor minors child children pupil pupils",
}
_AGAINST: Mapping[str, str] = {word: id_ for id_, words in _WORDS.items() for word in words.split()}


def article_against(name: str) -> str:
    """Return the id of the article that a name runs against; a name without one, the last.

    Args:
        name: Of an attribute or a key, as somebody wrote it.
    """
    words = re.findall(r"[a-z]+", name.lower())
    return next((_AGAINST[word] for word in words if word in _AGAINST), "gdpr-5-1-c")
