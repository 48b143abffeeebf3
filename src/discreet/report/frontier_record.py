"""What `discreet bench frontier` writes, checked before any of it is drawn.

record = checked_frontier(json.loads(Path("frontier/frontier.json").read_text()))
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from discreet.errors import ArtifactCorrupt


class Band(TypedDict):
    """A mean over seeds with its 95 % interval."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    seeds: int


class Row(TypedDict):
    """A setting over its seeds."""

    kind: str
    rule: str
    unit: str
    epsilon: Annotated[FiniteFloat, Field(gt=0)] | None
    name: str
    epsilon_told: str
    is_on_front: bool
    values: dict[str, Band]


class Metric(TypedDict):
    """A column."""

    name: str
    label: str
    group: str
    is_more_better: bool
    unit: str


class Plan(TypedDict):
    """What is said of the plan of all cells."""

    base: str
    num_owners: int
    num_rounds: int
    local_steps: int


class Settings(TypedDict):
    """What makes cells comparable."""

    plan: Plan


class Hardware(TypedDict):
    """The machine that made the tables."""

    cpu: str
    cores: int | None
    gpu: str | None


class Made(TypedDict, total=False):
    """The code and the machine of a cell."""

    commit: str | None
    hardware: dict[str, Any]
    threads: int


class Cell(TypedDict):
    """What is said of a cell beside its row."""

    made: Made


class FrontierRecord(TypedDict):
    """All of it."""

    kind: Literal["frontier"]
    commit: str | None
    hardware: Hardware
    settings: Settings
    minutes: FiniteFloat
    cells_wanted: int
    metrics: list[Metric]
    says: list[str]
    legend: str
    rows: list[Row]
    cells: list[Cell]


def checked_frontier(record: Mapping[str, Any]) -> FrontierRecord:
    """Return a record of `discreet bench frontier`, with what a page needs of it.

    Raises:
        ArtifactCorrupt: if it is something else, or damaged.
    """
    try:
        return TypeAdapter(FrontierRecord).validate_python(record)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"][:4])) or "the whole"
        raise ArtifactCorrupt(
            f"Expected the record of a frontier, got one in which this is missing or wrong: "
            f"{where}. Take frontier.json, as `discreet bench frontier --keep FOLDER` writes it."
        ) from None
