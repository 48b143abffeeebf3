"""How fast portraits are drawn, and which stage of it takes the time.

>>> from discreet.figures import open_assets
>>> measure_drawing(open_assets(Path("assets")), workers=2).pictures_per_second  # doctest: +SKIP
14.2
"""

import multiprocessing
import os
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from discreet.figures import Assets
from discreet.people import sample_scene
from discreet.studio import encode_jpeg, studio_of

_SHOTS = 7
"""Pictures of one person in a row, as in a collection."""
_SEED = 7
_FIRST = 1_000_000
"""Identities that workers draw before the clock starts, to read assets and compile shaders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawingSpeed:
    """What drawing portraits took, start-up left out."""

    workers: int
    pictures: int
    """Portraits of each worker that were timed."""
    size_px: int
    pictures_per_second: float
    """Of all workers together, who draw at the same time."""
    pictures_per_second_per_worker: float
    start_seconds: float
    """Until a worker has drawn its first people, mean of all; not in the other numbers."""
    milliseconds: dict[str, float]
    """Wall time of each stage for a portrait, mean of all workers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Share:
    seconds: float
    start_seconds: float
    stages: dict[str, float]


def measure_drawing(
    assets: Assets, *, pictures: int = 70, workers: int | None = None, size_px: int = 128
) -> DrawingSpeed:
    """Return how fast workers draw portraits of different people.

    Args:
        assets: The MakeHuman assets.
        pictures: Portraits that each worker draws.
        workers: Processes; one for each core by default.
        size_px: Side of a portrait.
    """
    count = workers or len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")  # a graphics context does not survive a fork
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        jobs = [pool.submit(_draw, assets, pictures, size_px, worker) for worker in range(count)]
        shares = [job.result() for job in jobs]
    rates = [pictures / share.seconds for share in shares]
    stages: dict[str, float] = defaultdict(float)
    for share in shares:
        for stage, seconds in share.stages.items():
            stages[stage] += seconds
    return DrawingSpeed(
        workers=count,
        pictures=pictures,
        size_px=size_px,
        pictures_per_second=sum(rates),
        pictures_per_second_per_worker=sum(rates) / count,
        start_seconds=sum(share.start_seconds for share in shares) / count,
        milliseconds={k: 1000 * v / count / pictures for k, v in stages.items()},
    )


def _draw(assets: Assets, pictures: int, size_px: int, worker: int) -> _Share:
    """Draw a worker's portraits, after some that are not timed."""
    began = time.perf_counter()
    studio = studio_of(assets)
    for identity in range(24):
        studio.shoot(sample_scene(_SEED, _FIRST + identity, identity, size_px=size_px))
    studio.seconds.clear()
    started = time.perf_counter()
    stages: dict[str, float] = defaultdict(float)
    for place in range(pictures):
        identity, shot = divmod(place, _SHOTS)
        at = [time.perf_counter()]
        scene = sample_scene(_SEED, identity * 1009 + worker, shot, size_px=size_px)
        at.append(time.perf_counter())
        image = studio.shoot(scene)
        at.append(time.perf_counter())
        encode_jpeg(image, scene.sensor.jpeg_quality)
        at.append(time.perf_counter())
        stages["describe"] += at[1] - at[0]
        stages["jpeg"] += at[3] - at[2]
    return _Share(
        seconds=time.perf_counter() - started,
        start_seconds=started - began,
        stages={**stages, **studio.seconds},
    )
