"""Where chance comes from: the operating system, or, in runs that can be repeated, the seed."""

from discreet.federated.config import TrainConfig
from discreet.privacy import CounterGenerator


def chance_for(config: TrainConfig, use: str) -> CounterGenerator:
    """Return the generator for one use.

    Args:
        config: The public plan; with `reproducible`, whoever knows it knows the draws.
        use: What tells this stream from every other of the run, the seed among it.
    """
    return CounterGenerator.seeded(use) if config.reproducible else CounterGenerator.from_os()
