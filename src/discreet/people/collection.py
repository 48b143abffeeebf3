"""Collections: a few numbers that stand for many scenes, dealt into files of known content.

Nothing here renders. What is in a file follows from the spec alone, so that files can be made in
any order, by any number of processes, and made again.

>>> spec = read_spec("portraits-2")
>>> spec.num_pictures
10500
>>> [shard.file_name for shard in shards_of(spec)][-1]
'test.parquet'
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from discreet.errors import DataError
from discreet.people.codec import parse_json, read_plain
from discreet.people.sampling import NUM_CELLS, sample_scene, split_of
from discreet.people.scene import MAX_SEED, Scene, labels
from discreet.people.twins import FIRST_SHOT, TWIN_KINDS, TwinKind, Twins, sample_twins
from discreet.types import Split

SPECS = Path(__file__).parent / "specs"
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionSpec:
    """What a collection holds."""

    kind: Literal["portraits", "twins"]
    """`portraits`: pictures of people in three splits; `twins`: pairs of people of the test
    split that differ in one attribute."""
    seed: int
    """Seed of the people, from 0; twins are of the portraits with the same seed and number of
    people."""
    identities: int
    """People in all, from 240 to 1,000,000; a multiple of 24 makes every combination of labels
    equally common."""
    size_px: int
    """Side of a picture, from 16 to 2048."""
    shots: int = 7
    """Portraits of each person, from 1 to 100; each five in a row show every expression once."""
    pictures_per_file: int = 2500
    """Portraits or pairs in a Parquet file, about; from those of one person to 100,000."""

    def __post_init__(self) -> None:
        """Check that every split has people of every combination, and every file somebody."""
        if self.identities < 10 * NUM_CELLS:
            raise ValueError(
                f"Expected identities >= {10 * NUM_CELLS}, got identities={self.identities}. "
                "Fewer leave a combination of labels without a validation identity."
            )
        for name, low, high in (
            ("identities", 10 * NUM_CELLS, 1_000_000),
            ("seed", 0, MAX_SEED),
            ("size_px", 16, 2048),
            ("shots", 1, FIRST_SHOT),
            ("pictures_per_file", self.pairs_or_shots, 100_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"Expected {low} <= {name} <= {high}, got {name}={getattr(self, name)}."
                )

    @property
    def pairs_or_shots(self) -> int:
        """Return how many portraits or pairs there are of a person."""
        return self.shots if self.kind == "portraits" else len(TWIN_KINDS)

    @property
    def num_pictures(self) -> int:
        """Return the number of pictures, two for a pair of twins."""
        if self.kind == "portraits":
            return self.identities * self.shots
        test = sum(split == "test" for split in split_of(self.seed, self.identities))
        return 2 * len(TWIN_KINDS) * test


@dataclass(frozen=True, kw_only=True, slots=True)
class Portrait:
    """A portrait of a collection, not drawn yet."""

    scene: Scene
    split: Split
    seed: int
    shot: int

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Return what has to be drawn."""
        return (self.scene,)

    def row(self) -> dict[str, Any]:
        """Return all columns of the portrait but the picture."""
        return {
            **labels(self.scene),
            "split": self.split,
            "seed": self.seed,
            "shot": self.shot,
            "spec": self.scene.to_json(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Twins of a collection, not drawn yet."""

    twins: Twins
    seed: int

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Return what has to be drawn."""
        return self.twins.first, self.twins.second

    def row(self) -> dict[str, Any]:
        """Return all columns of the pair but the pictures."""
        first, second = labels(self.twins.first), labels(self.twins.second)
        column = {"age": "age_band"}.get(self.twins.kind, self.twins.kind)
        grouped = ("identity_id", "age_band", "gender_presentation", "ethnicity", "skin_tone")
        return {
            **{name: first[name] for name in (*grouped, "expression")},
            "split": "test",
            "kind": self.twins.kind,
            "first_value": str(first[column]),
            "second_value": str(second[column]),
            "seed": self.seed,
            "first_spec": self.twins.first.to_json(),
            "second_spec": self.twins.second.to_json(),
        }


Entry = Portrait | Pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One Parquet file of a collection."""

    file_name: str
    spec: CollectionSpec
    split: Split
    identities: tuple[int, ...]
    """Indices of the people in it, ascending."""

    @property
    def num_pictures(self) -> int:
        """Return how many pictures have to be drawn for the file."""
        pictures = 1 if self.spec.kind == "portraits" else 2
        return pictures * self.spec.pairs_or_shots * len(self.identities)

    def entries(self, identity: int) -> list[Entry]:
        """Return what the file holds of an identity, in order."""
        spec = self.spec
        if spec.kind == "twins":
            return [_pair(spec, identity, kind) for kind in TWIN_KINDS]
        return [_portrait(spec, self.split, identity, shot) for shot in range(spec.shots)]


def read_spec(name_or_path: str) -> CollectionSpec:
    """Return a shipped spec by its name, or one from a TOML file.

    Raises:
        ValueError: if a key is missing, unknown or holds what cannot be, or the name is unknown.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = SPECS / f"{name_or_path}.toml"
    if not path.is_file():
        raise ValueError(
            f"Expected a TOML file, a file of scenes, or one of {', '.join(spec_names())}; "
            f"got '{name_or_path}'."
        )
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected TOML in '{path.name}', could not read it: {error}.") from error
    return read_plain(CollectionSpec, plain)


def spec_names() -> list[str]:
    """Return the names of the specs that ship with the package."""
    return sorted(path.stem for path in SPECS.glob("*.toml"))


def shards_of(spec: CollectionSpec) -> list[Shard]:
    """Return the files of a collection: every identity with all its pictures in one of them."""
    splits = split_of(spec.seed, spec.identities)
    found = []
    for split in SPLITS if spec.kind == "portraits" else SPLITS[-1:]:
        members = [identity for identity, its in enumerate(splits) if its == split]
        parts = max(1, round(len(members) * spec.pairs_or_shots / spec.pictures_per_file))
        name = split if spec.kind == "portraits" else "twins"
        for part, some in enumerate(_dealt(members, parts)):
            numbered = f"{name}-{part:05d}-of-{parts:05d}" if parts > 1 else name
            found.append(
                Shard(file_name=f"{numbered}.parquet", spec=spec, split=split, identities=some)
            )
    return found


def read_scenes(path: Path) -> list[Scene]:
    """Return the scenes of a JSON file (one, or a list) or a JSONL file (one a line).

    Raises:
        DataError: if the file holds no scene, or something that is none.
    """
    try:
        scenes = list(_scenes_of(path))
    except ValueError as error:
        raise DataError(
            f"Expected scenes in '{path.name}', as `Scene.to_json` writes them. {error}"
        ) from error
    if not scenes:
        raise DataError(f"Expected at least one scene in '{path.name}', got none.")
    return scenes


def _scenes_of(path: Path) -> Iterator[Scene]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        parts: Iterable[Any] = (line for line in text.split("\n") if line.strip())
        read: Callable[[Any], Scene] = Scene.from_json
    else:
        plain = parse_json(text)
        parts, read = plain if isinstance(plain, list) else [plain], partial(read_plain, Scene)
    for number, part in enumerate(parts, 1):
        try:
            yield read(part)
        except ValueError as error:
            raise ValueError(f"Scene {number}: {error}") from error


def _portrait(spec: CollectionSpec, split: Split, identity: int, shot: int) -> Portrait:
    scene = sample_scene(spec.seed, identity, shot, size_px=spec.size_px)
    return Portrait(scene=scene, split=split, seed=spec.seed, shot=shot)


def _pair(spec: CollectionSpec, identity: int, kind: TwinKind) -> Pair:
    twins = sample_twins(spec.seed, identity, kind, size_px=spec.size_px)
    return Pair(twins=twins, seed=spec.seed)


def _dealt(members: Sequence[int], parts: int) -> Iterator[tuple[int, ...]]:
    """Return runs of about equal length."""
    for part in range(parts):
        yield tuple(members[part * len(members) // parts : (part + 1) * len(members) // parts])
