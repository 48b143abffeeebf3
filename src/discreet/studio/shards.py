"""Draw a collection into Parquet files, on all cores, and go on where it was stopped.

A file is written whole or not at all. `<kind>.manifest.json` beside the files names the spec and
the SHA-256 of each file; a file that is there and has its hash is not drawn again. The same spec
gives the same bytes, whatever the number of workers and however often it was stopped, on the same
graphics driver and versions.

A list of scenes is one file: it is drawn whole, and its manifest holds the SHA-256 of the scenes.
"""

import functools
import hashlib
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from discreet.artifacts import read_json, sha256_of_file, write_bytes, write_json
from discreet.errors import DataError
from discreet.figures import Assets, refuse_unknown_morphs
from discreet.people import (
    CollectionSpec,
    Pair,
    Scene,
    Shard,
    labels,
    read_plain,
    shards_of,
)
from discreet.studio.render import render
from discreet.studio.sensor import encode_jpeg

_LABELS = (
    "identity_id", "split", "age_years", "age_band", "gender_presentation", "ethnicity",
    "skin_tone", "body_weight", "expression", "hair", "hair_colour", "clothing",
    "clothing_colour", "clothing_pattern", "yaw_degrees", "light", "backdrop",
)  # fmt: skip
COLUMNS: dict[str, tuple[str, ...]] = {
    "portraits": ("image", *_LABELS, "seed", "shot", "spec"),
    "twins": (
        "first_image", "second_image", "kind", "first_value", "second_value", "identity_id",
        "split", "age_band", "gender_presentation", "ethnicity", "skin_tone", "expression", "seed",
        "first_spec", "second_spec",
    ),
    "scenes": ("image", *(name for name in _LABELS if name != "split"), "spec"),
}  # fmt: skip
"""Columns of a Parquet file of each kind, in order."""
_NUMBERS = {
    "age_years": "float64", "yaw_degrees": "float64", "body_weight": "float64",
    "skin_tone": "int8", "seed": "int64", "shot": "int16",
}  # fmt: skip
_CHUNK = 8
"""Scenes of a file of scenes that a worker takes at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A file of a collection."""

    path: Path
    sha256: str
    rows: int
    size_bytes: int
    was_there: bool
    """Whether it had been drawn before."""


def render_collection(
    spec: CollectionSpec,
    out_dir: Path,
    assets: Assets,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Written]:
    """Write the Parquet files of a collection, and return them.

    Args:
        spec: What the collection holds.
        out_dir: Folder for the files; created if absent.
        assets: The MakeHuman assets.
        workers: Processes that draw; one for each core by default.
        on_progress: Called with the pictures that are done and the pictures in all.

    Raises:
        DataError: if the folder holds files of another spec, or a manifest that is none.
    """
    shards = shards_of(spec)
    manifest = _Manifest(out_dir / f"{spec.kind}.manifest.json", asdict(spec))
    total = sum(shard.num_pictures for shard in shards)
    kept = {shard.file_name for shard in shards if manifest.has(shard.file_name)}
    done = sum(shard.num_pictures for shard in shards if shard.file_name in kept)
    missing = [shard for shard in shards if shard.file_name not in kept]
    tasks = [(shard, identity) for shard in missing for identity in shard.identities]
    drawn = _spread(functools.partial(_draw_identity, assets), tasks, workers)
    for shard in missing:
        rows: list[dict[str, Any]] = []
        for _ in shard.identities:
            _tell(on_progress, done, total)
            rows += next(drawn)
            done += shard.num_pictures // len(shard.identities)
        manifest.write(shard.file_name, rows, spec.kind)
    _tell(on_progress, done, total)
    return [manifest.written(shard.file_name, shard.file_name in kept) for shard in shards]


def render_scenes(
    scenes: Sequence[Scene],
    out_dir: Path,
    assets: Assets,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Written]:
    """Write `scenes.parquet`: one row for each scene, labelled by its first figure.

    The file is written when all scenes are drawn; if it is there already, nothing is drawn.

    Raises:
        ValueError: if there is no scene, or one names a morph that the assets do not have.
        DataError: if the folder holds other scenes, or a manifest that is none.
    """
    if not scenes:
        raise ValueError("Expected at least one scene, got none.")
    refuse_unknown_morphs((figure for scene in scenes for figure in scene.figures), assets)
    name, spec = "scenes.parquet", {"scenes": len(scenes), "sha256": _sha256_of(scenes)}
    manifest = _Manifest(out_dir / "scenes.manifest.json", spec)
    if manifest.has(name):
        _tell(on_progress, len(scenes), len(scenes))
        return [manifest.written(name, True)]
    chunks = [scenes[start : start + _CHUNK] for start in range(0, len(scenes), _CHUNK)]
    rows: list[dict[str, Any]] = []
    for drawn in _spread(functools.partial(_draw_scenes, assets), chunks, workers):
        rows += drawn
        _tell(on_progress, len(rows), len(scenes))
    manifest.write(name, rows, "scenes")
    return [manifest.written(name, False)]


def jpeg_of(scene: Scene, assets: Assets) -> bytes:
    """Return the picture of a scene as its camera stores it."""
    return encode_jpeg(render(scene, assets), scene.sensor.jpeg_quality)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """What a manifest says of a file."""

    sha256: str
    rows: int
    size_bytes: int


class _Manifest:
    """What has been written, on disk after each file."""

    def __init__(self, path: Path, spec: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._held: dict[str, Any] = {"spec": spec, "files": {}}
        if path.exists():
            found = _checked(read_json(path), path)
            if found["spec"] != spec:
                raise DataError(
                    f"Expected files of this spec in '{path.parent.name}', found those of "
                    "another. Choose another folder, or empty it."
                )
            self._held = found

    def has(self, name: str) -> bool:
        """Return whether a file is there and is the one that was written."""
        known, path = self._held["files"].get(name), self._path.parent / name
        return bool(known) and path.is_file() and sha256_of_file(path) == known["sha256"]

    def write(self, name: str, rows: list[dict[str, Any]], kind: str) -> None:
        """Write a file of rows, then its line of the manifest."""
        path = self._path.parent / name
        buffer = io.BytesIO()
        table = pa.Table.from_pylist(rows, schema=_schema(COLUMNS[kind]))
        pq.write_table(
            table, buffer, compression="zstd", compression_level=19, row_group_size=512,
            use_dictionary=[name for name in COLUMNS[kind] if "image" not in name],
        )  # fmt: skip
        write_bytes(path, buffer.getvalue())
        self._held["files"][name] = {
            "sha256": sha256_of_file(path),
            "rows": len(rows),
            "size_bytes": path.stat().st_size,
        }
        write_json(self._path, self._held)

    def written(self, name: str, was_there: bool) -> Written:
        """Return what is known of a file."""
        return Written(
            path=self._path.parent / name, was_there=was_there, **self._held["files"][name]
        )


def _checked(found: Any, path: Path) -> dict[str, Any]:
    """Return what a manifest holds, if it is one."""
    try:
        if not isinstance(found, dict) or found.keys() != {"spec", "files"}:
            raise ValueError("Expected the fields spec and files.")
        if not isinstance(found["files"], dict):
            raise ValueError("Expected a table at 'files'.")
        for line in found["files"].values():
            read_plain(_Line, line, "files")
    except ValueError as error:
        raise DataError(
            f"Expected a manifest of drawn files in '{path.name}', found something else. {error} "
            "Choose another folder, or remove that file: what lies beside it is then drawn again."
        ) from error
    return found


def _sha256_of(scenes: Sequence[Scene]) -> str:
    """Return the SHA-256 of scenes as lines of canonical JSON."""
    digest = hashlib.sha256()
    for scene in scenes:
        digest.update(f"{scene.to_json()}\n".encode())
    return digest.hexdigest()


def _draw_identity(assets: Assets, task: tuple[Shard, int]) -> list[dict[str, Any]]:
    shard, identity = task
    rows = []
    for entry in shard.entries(identity):
        names = ("first_image", "second_image") if isinstance(entry, Pair) else ("image",)
        pictures = {
            name: {"bytes": jpeg_of(scene, assets), "path": None}
            for name, scene in zip(names, entry.scenes, strict=True)
        }
        rows.append({**entry.row(), **pictures})
    return rows


def _draw_scenes(assets: Assets, scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    return [
        {**labels(scene), "spec": scene.to_json(),
         "image": {"bytes": jpeg_of(scene, assets), "path": None}}
        for scene in scenes
    ]  # fmt: skip


def _spread(
    draw: Callable[[Any], list[dict[str, Any]]], tasks: Sequence[Any], workers: int | None
) -> Iterator[list[dict[str, Any]]]:
    """Return what `draw` makes of each task, in order, drawn by several processes."""
    count = min(workers or len(os.sched_getaffinity(0)), max(1, len(tasks)))
    if count <= 1:
        yield from map(draw, tasks)
        return
    slim = [_alone(task) for task in tasks]
    context = multiprocessing.get_context("spawn")  # a graphics context does not survive a fork
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        try:
            yield from pool.map(draw, slim, chunksize=2)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _alone(task: Any) -> Any:
    """Return a task without the other identities of its file, which a worker does not need."""
    if isinstance(task, tuple) and isinstance(task[0], Shard):
        return replace(task[0], identities=()), task[1]
    return task


def _tell(on_progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(done, total)


def _schema(columns: Sequence[str]) -> pa.Schema:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds, features = {}, {}
    for name in columns:
        if name.endswith("image"):
            kinds[name], features[name] = image, {"_type": "Image"}
        else:
            alias = _NUMBERS.get(name, "string")
            kinds[name] = pa.type_for_alias(alias)
            features[name] = {"dtype": alias, "_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(kinds.items()), metadata=metadata)
