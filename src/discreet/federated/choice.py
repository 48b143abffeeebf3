"""Which owners are asked in a round."""

import time
from collections.abc import Mapping, Sequence

from flwr.serverapp import Grid

from discreet.errors import FederationError
from discreet.federated.chance import chance_for
from discreet.federated.config import TrainConfig
from discreet.federated.plans import is_secret_choice
from discreet.privacy import CounterGenerator

_POLL_SECONDS = 0.5


def connected(grid: Grid, config: TrainConfig) -> tuple[int, ...]:
    """Return the connected nodes, in order; all owners if they come in time.

    Raises:
        FederationError: if fewer than `min_replies` nodes are connected after
            `node_wait_seconds`.
    """
    deadline = time.monotonic() + config.node_wait_seconds
    while len(nodes := tuple(sorted(grid.get_node_ids()))) < config.num_present:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(_POLL_SECONDS, left))
    if len(nodes) < config.min_replies:
        raise FederationError(
            f"Expected {config.min_replies} or more connected nodes, got {len(nodes)} after "
            f"{config.node_wait_seconds:g} seconds. Start the missing owners' nodes."
        )
    return nodes


def choose(
    config: TrainConfig, nodes: Sequence[int], taken_part: Mapping[int, int], server_round: int
) -> tuple[int, ...]:
    """Return the nodes to ask.

    Where the server's noise hides owners, everyone is asked on a coin that nobody else knows: the
    accountant counts on it. Else those who took part least come first, ties by the public seed, and
    nobody is asked more often than noise was calibrated for.

    Args:
        config: The public plan.
        nodes: Who is connected.
        taken_part: How often each was asked before; a node that is missing: never.
        server_round: Counted from 1.
    """
    if is_secret_choice(config):
        share = config.asked_per_round / config.num_present
        coins = chance_for(config, f"choice/{config.seed}/{server_round}").uniform(len(nodes))
        return tuple(n for n, coin in zip(nodes, coins.tolist(), strict=True) if coin < share)
    able = [n for n in nodes if taken_part.get(n, 0) < config.rounds_per_owner]
    ties = CounterGenerator.seeded(f"owners/{config.seed}/{server_round}").uniform(len(able))
    order = sorted(zip((taken_part.get(n, 0) for n in able), ties.tolist(), able, strict=True))
    return tuple(sorted(node for *_, node in order[: config.asked_per_round]))
