import re
from pathlib import Path

import discreet.pages.texts as texts
from discreet.data import load_questions
from discreet.pages.texts import load_texts

ROOM = Path(texts.__file__).parent
ENGLISH, FRENCH = load_texts("en"), load_texts("fr")


def test_both_languages_have_the_same_keys() -> None:
    assert set(ENGLISH.says) == set(FRENCH.says)


def test_both_languages_leave_the_same_places_to_fill() -> None:
    holes = {
        key: (set(re.findall(r"{(\w+)}", ENGLISH[key])), set(re.findall(r"{(\w+)}", FRENCH[key])))
        for key in ENGLISH.says
    }
    assert {key: both for key, both in holes.items() if both[0] != both[1]} == {}


def test_no_text_is_left_in_the_other_language() -> None:
    same = {key for key in ENGLISH.says if ENGLISH[key] == FRENCH[key]}
    assert same == {"page.main", "why.expression"}  # words of both


def test_each_text_is_used() -> None:
    """A key is used as it is, or begins as a key that the code puts together."""
    files = [*ROOM.glob("*.py"), *ROOM.glob("*.js"), *ROOM.glob("templates/*.html")]
    code = "\n".join(path.read_text() for path in files)
    begun = tuple(re.findall(r'[f(\["]"?([a-z]+\.[a-z_]*)(?:{|" ~)', code))
    unused = {key for key in ENGLISH.says if f'"{key}"' not in code and f"'{key}'" not in code}
    assert {key for key in unused if not key.startswith(begun)} == set()


def test_each_suggestion_is_the_question_of_a_note() -> None:
    for said, language in ((ENGLISH, "en"), (FRENCH, "fr")):
        for domain, questions in said.suggestions.items():
            known = {q.question for q in load_questions(language=language) if q.domain == domain}
            assert set(questions) <= known
            assert len(questions) == 4
