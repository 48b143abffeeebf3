"""Render the portrait set: one Parquet file per split, the pictures as JPEG beside their truth.

>>> from pathlib import Path
>>> build_portraits(Path("people"), open_assets(Path("assets")), seed=0)  # doctest: +SKIP
"""

import functools
import io
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from discreet.people.assets import Assets
from discreet.people.render import render
from discreet.people.sampling import (
    NUM_CELLS,
    identity_index,
    sample_person,
    sample_shot,
    split_of,
)
from discreet.people.spec import PersonSpec, labels
from discreet.types import EXPRESSIONS, Split

JPEG_QUALITY = 90
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_TEXT = (
    "identity_id", "split", "age_band", "gender_presentation", "ethnicity", "expression", "hair",
    "hair_colour", "clothing", "clothing_colour", "light", "spec",
)  # fmt: skip
_NUMBERS = {"age_years": "float64", "yaw_degrees": "float64", "skin_tone": "int8",
            "seed": "int64", "shot": "int16"}  # fmt: skip
COLUMNS = (
    "image", "identity_id", "split", "age_years", "age_band", "gender_presentation", "ethnicity",
    "skin_tone", "expression", "hair", "hair_colour", "clothing", "clothing_colour", "yaw_degrees",
    "light", "seed", "shot", "spec",
)  # fmt: skip
"""Columns of a Parquet file of portraits, in order."""


def build_portraits(
    out_dir: Path,
    assets: Assets,
    *,
    seed: int,
    num_identities: int = 480,
    shots_per_identity: int = 7,
    size_px: int = 128,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[Split, Path]:
    """Render the set and write `train.parquet`, `validation.parquet` and `test.parquet`.

    Args:
        out_dir: Folder for the three files; created if absent.
        assets: The MakeHuman assets.
        seed: Seed of the set.
        num_identities: People in all; a multiple of 24 keeps every combination equally common.
        shots_per_identity: Pictures of each person; a multiple of 5 keeps expressions equal.
        size_px: Side of a picture.
        workers: Processes that render.
        on_progress: Called with the pictures done so far and the pictures in all.

    Raises:
        ValueError: if there are fewer than 10 people to a combination of labels.
    """
    if num_identities < 10 * NUM_CELLS:
        raise ValueError(
            f"Expected num_identities >= {10 * NUM_CELLS}, got num_identities={num_identities}. "
            "Fewer leave a combination of labels without a validation identity."
        )
    total = num_identities * shots_per_identity
    rows: dict[Split, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    draw = functools.partial(_rows_of, assets, seed, shots_per_identity, size_px)
    splits, done = split_of(seed, num_identities), 0
    for identity, drawn in enumerate(_spread(draw, range(num_identities), workers)):
        split = splits[identity]
        rows[split] += [{**row, "split": split} for row in drawn]
        done += len(drawn)
        if on_progress is not None:
            on_progress(done, total)
    out_dir.mkdir(parents=True, exist_ok=True)
    return {split: _write(out_dir / f"{split}.parquet", rows[split]) for split in SPLITS}


def spec_of(row: Mapping[str, Any]) -> PersonSpec:
    """Return the person of a row, drawn again from its seed, identity and shot alone."""
    person = sample_person(int(row["seed"]), identity_index(row["identity_id"]))
    return sample_shot(person, int(row["shot"]))


def rerender(row: Mapping[str, Any], assets: Assets, *, size_px: int = 128) -> Image.Image:
    """Return the picture of a row, drawn again from its seed, as the file's JPEG shows it.

    Pixels are the same on the same graphics driver and versions; on another they may differ.

    Raises:
        ValueError: if the row's labels are not those of its seed, identity and shot.
    """
    spec = spec_of(row)
    if PersonSpec.from_json(row["spec"]) != spec:
        raise ValueError("Expected a row whose spec follows from its seed, identity and shot.")
    return Image.open(io.BytesIO(encode_jpeg(render(spec, assets, size_px=size_px))))


def encode_jpeg(image: Image.Image) -> bytes:
    """Return the JPEG bytes of a picture, as they are stored in the Parquet files."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def contact_sheet(
    images: Sequence[Image.Image], *, columns: int = 8, size_px: int = 128
) -> Image.Image:
    """Return the pictures side by side, left to right and top to bottom."""
    lines = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * size_px, lines * size_px))
    for place, image in enumerate(images):
        corner = (place % columns * size_px, place // columns * size_px)
        sheet.paste(image.convert("RGB").resize((size_px, size_px)), corner)
    return sheet


def save_contact_sheet(parquet: Path, out: Path, *, count: int = 48) -> None:
    """Write a sheet of portraits of different people from a Parquet file, as a PNG of 256 colours.

    Combinations of age band, gender presentation and ethnicity take turns, and so do expressions.
    """
    rows = pq.read_table(parquet).to_pylist()
    of_cell: dict[int, list[str]] = {}
    for name in sorted({row["identity_id"] for row in rows}):
        of_cell.setdefault(identity_index(name) % NUM_CELLS, []).append(name)
    turns = [name for turn in zip(*of_cell.values(), strict=False) for name in turn]
    wanted = {
        (name, EXPRESSIONS[place % len(EXPRESSIONS)]) for place, name in enumerate(turns[:count])
    }
    first = {
        row["identity_id"]: row["image"]["bytes"]
        for row in reversed(rows)
        if (row["identity_id"], row["expression"]) in wanted
    }
    pictures = [Image.open(io.BytesIO(first[name])) for name in turns[:count]]
    sheet = contact_sheet(pictures)
    palette = sheet.quantize(256, kmeans=1)
    sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)


def _rows_of(
    assets: Assets, seed: int, shots: int, size_px: int, identity: int
) -> list[dict[str, Any]]:
    person = sample_person(seed, identity)
    specs = [sample_shot(person, shot) for shot in range(shots)]
    return [
        {
            **labels(spec),
            "image": {"bytes": encode_jpeg(render(spec, assets, size_px=size_px)), "path": None},
        }
        for spec in specs
    ]


def _spread(
    draw: Callable[[int], list[dict[str, Any]]], identities: Iterable[int], workers: int
) -> Iterator[list[dict[str, Any]]]:
    if workers <= 1:
        yield from map(draw, identities)
        return
    context = multiprocessing.get_context("spawn")  # a graphics context does not survive a fork
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(draw, identities, chunksize=2)


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pa.Table.from_pylist(rows, schema=_schema())
    pq.write_table(table, path, compression="zstd", row_group_size=256)
    return path


def _schema() -> pa.Schema:
    kinds: dict[str, pa.DataType] = {
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        **{name: pa.string() for name in _TEXT},
        **{name: pa.type_for_alias(alias) for name, alias in _NUMBERS.items()},
    }
    features = {
        "image": {"_type": "Image"},
        **{name: {"dtype": "string", "_type": "Value"} for name in _TEXT},
        **{name: {"dtype": alias, "_type": "Value"} for name, alias in _NUMBERS.items()},
    }
    ordered = {name: features[name] for name in COLUMNS}
    metadata = {"huggingface": json.dumps({"info": {"features": ordered}})}
    return pa.schema([(name, kinds[name]) for name in COLUMNS], metadata=metadata)
