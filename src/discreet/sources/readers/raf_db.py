"""RAF-DB, basic expressions: `EmoLabel/list_patition_label.txt`, spelled so, and `Image/`.

The folder `Annotation/manual` has a file for each picture: five landmarks, then gender, race and
age as numbers. The seven words describe what a face shows.
Source: http://www.whdeng.cn/raf/model1.html
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from discreet.sources.columns import known
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import read_lines
from discreet.sources.problems import Origin, Problems
from discreet.sources.readers.folders import Files, first_of
from discreet.sources.records import Record

EXPRESSIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
GENDERS = ("male", "female", "unsure")
RACES = ("Caucasian", "African-American", "Asian")
AGES = ("0-3", "4-19", "20-39", "40-69", "70+")
_LISTS = ("list_patition_label.txt", "list_partition_label.txt")
_AT = ("EmoLabel/", "basic/EmoLabel/", "", "basic/")


def _list(path: Path) -> Path | None:
    return first_of(path, *(f"{at}{name}" for at in _AT for name in _LISTS))


def _lists(path: Path) -> list[Path]:
    found = _list(path)
    return [found] if found else []


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    listed = _list(folder.root)
    if listed is None:
        return
    base = "basic/" if (folder.root / "basic").is_dir() else ""
    aligned = Files(folder, problems, f"{base}Image/aligned", f"{base}aligned")
    whole = Files(folder, problems, f"{base}Image/original", f"{base}original")
    is_aligned = first_of(folder.root, f"{base}Image/aligned", f"{base}aligned") is not None
    attributes = first_of(folder.root, f"{base}Annotation/manual", f"{base}manual")
    for origin, line in read_lines(listed, folder, problems):
        fields = line.split()
        if len(fields) != 2:
            if fields:
                problems.add("row", origin, path=listed)
            continue
        stem, number = Path(fields[0]).stem, fields[1]
        name = f"{stem}_aligned.jpg" if is_aligned else fields[0]
        picture = (aligned if is_aligned else whole).find(name, origin)
        if picture is None:
            continue
        told = _attributes(folder, attributes, stem, origin, problems) if attributes else {}
        age = {"age": told.pop("age")} if "age" in told else {}
        expression = _word(number, EXPRESSIONS, start=1)
        yield Record(
            kind="picture",
            media=(folder.medium(picture),),
            labels=known({"expression": expression, **age}, READER.vocabulary, origin, problems),
            audit_labels=told,
            split={"train": "train", "test": "test"}.get(stem.partition("_")[0]),
            origin=origin,
        )


def _attributes(
    folder: Folder, at: Path, stem: str, origin: Origin, problems: Problems
) -> dict[str, str]:
    """Return gender, race and age: the last three lines of a picture's file."""
    path = at / f"{stem}_manu_attri.txt"
    numbers: list[str] = []
    with suppress(OSError, ValueError):
        if folder.admits(path):
            numbers = path.read_bytes()[:4096].decode("ascii").split()[-3:]
    words = (GENDERS, RACES, AGES)
    found = dict(
        zip(("gender", "race", "age"), map(_word, numbers, words), strict=False)
        if len(numbers) == 3
        else ()
    )
    if not found or "unknown" in found.values():
        problems.add("missing_label", origin, about="gender, race and age", path=path)
    return {name: word for name, word in found.items() if word != "unknown"}


def _word(number: str, words: tuple[str, ...], start: int = 0) -> str:
    index = int(number) - start if number.isascii() and number.isdigit() else -1
    return words[index] if 0 <= index < len(words) else "unknown"


READER = Reader(
    name="raf_db",
    kind="picture",
    looks_like="EmoLabel/list_patition_label.txt, Image/aligned/*_aligned.jpg, Annotation/manual",
    source="http://www.whdeng.cn/raf/model1.html",
    licence="on request; non-commercial research and education",
    can_read=lambda path: path.is_dir() and _list(path) is not None,
    read=_read,
    lists=_lists,
    vocabulary={"expression": EXPRESSIONS, "age": AGES, "gender": GENDERS, "race": RACES},
    audit_labels=("gender", "race"),
)
