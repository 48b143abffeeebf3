"""Every pair of settings that does not fit is refused before anything is loaded or charged."""

import re
import tomllib

import pytest

from discreet.aggregation import RULES
from discreet.federated import TrainConfig

OWNER = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}
SECURE = {"secure_aggregation": True, "num_owners": 5, "min_replies": 3}
ADAPTIVE = {"clip_quantile": 0.5, "clip_count_noise": 1.0}

FITS: dict[str, dict[str, object]] = {
    "the defaults": {},
    "hidden owners": OWNER,
    "a secure sum": SECURE,
    "hidden owners in a secure sum": {**OWNER, **SECURE},
    "a norm that follows": {**OWNER, **ADAPTIVE},
    "a secure sum of clipped examples": {**SECURE, **ADAPTIVE},
    "hostile members of a secure sum": {**SECURE, "min_replies": 4, "hostile_owners": 1},
    "mixed ranks": {"aggregation": "flora", "lora_ranks": "4,8"},
    "one rank, said twice": {"aggregation": "ffa", "lora_ranks": "8"},
    "a median": {"combine": "median", "hostile_owners": 1, "min_replies": 3},
    "Krum": {"combine": "multi_krum", "hostile_owners": 1, "num_owners": 5, "min_replies": 5},
    "FedProx without a sum": {"aggregation": "flora", "local_rule": "prox", "proximal_mu": 0.1},
    "FedProx of hidden owners": {**OWNER, "local_rule": "prox", "proximal_mu": 0.1},
    "FedAdam of hidden owners": {**OWNER, "server_optimizer": "adam"},
    "SCAFFOLD in turns": {"local_rule": "scaffold", "aggregation": "rolora"},
    "a loss that leaves": {"loss_noise": 30.0},
    "a loss that leaves in a secure sum": {**SECURE, "loss_noise": 30.0},
    "topk of what is linear": {"wire": "topk"},
    "fewer bits without a sum": {"aggregation": "flora", "wire": "int8"},
}
DOES_NOT: dict[str, tuple[dict[str, object], str]] = {
    "dense sums with hidden owners": (
        {**OWNER, "aggregation": "flora"},
        "Expected aggregation = 'ffa' with unit = 'owner', got aggregation='flora'",
    ),
    "products in a secure sum": (
        {**SECURE, "aggregation": "flexlora"},
        "a rule that needs no more than the sum of updates (secure_aggregation = true), got "
        "aggregation='flexlora'. Set aggregation to one of fedit, ffa",
    ),
    "mixed ranks of a sum": ({"lora_ranks": "4,8"}, "owners of several ranks"),
    "a lower rank of all": ({"lora_ranks": "4"}, "or of a lower one than lora_r"),
    "a median of products": (
        {"aggregation": "fedex", "combine": "median", "hostile_owners": 1, "min_replies": 3},
        "combine = 'mean' with aggregation='fedex'",
    ),
    "momentum of products": (
        {"aggregation": "flora", "server_optimizer": "momentum"},
        "server_optimizer = 'none' with aggregation='flora'",
    ),
    "SCAFFOLD of products": (
        {"aggregation": "flexlora", "local_rule": "scaffold"},
        "local_rule = 'sgd' with aggregation='flexlora'",
    ),
    "topk of products": (
        {"aggregation": "flora", "wire": "topk"},
        "wire other than 'topk' with aggregation='flora'",
    ),
    "a mean against somebody": ({"hostile_owners": 1}, "hostile_owners = 0 for mean"),
    "a median against nobody": ({"combine": "median"}, "1 or more for the others, got 0"),
    "a trimmed mean of too few": (
        {"combine": "trimmed_mean", "hostile_owners": 1},
        "min_replies >= 3 for trimmed_mean against 1 hostile owners, got 2",
    ),
    "Krum of too few": (
        {"combine": "multi_krum", "hostile_owners": 1, "num_owners": 5, "min_replies": 4},
        "min_replies >= 5 for multi_krum",
    ),
    "Adam with a pull": (
        {"optimizer": "adam", "local_rule": "prox", "proximal_mu": 0.1},
        "optimizer = 'sgd'",
    ),
    "Adam with control variates": (
        {"optimizer": "adam", "local_rule": "scaffold"},
        "optimizer = 'sgd'",
    ),
    "Adam with mixed ranks": (
        {"optimizer": "adam", "aggregation": "flora", "lora_ranks": "4,8"},
        "optimizer = 'sgd'",
    ),
    "owners hidden and examples drawn": (
        {"unit": "owner", "max_update_norm": 1.0},
        "sampled = 'owner' with unit = 'owner', got sampled='example'",
    ),
    "owners drawn and examples hidden": ({"sampled": "owner"}, "got unit='example'"),
    "hidden owners without a norm": (
        {"unit": "owner", "sampled": "owner"},
        "max_update_norm = 0.5 with unit = 'owner', got max_update_norm=None",
    ),
    "a median of hidden owners": (
        {**OWNER, "combine": "median", "hostile_owners": 1, "min_replies": 3},
        "combine = 'mean', hostile_owners = 0 with unit = 'owner'",
    ),
    "SCAFFOLD of hidden owners": (
        {**OWNER, "local_rule": "scaffold"},
        "local_rule = 'sgd' with unit = 'owner'",
    ),
    "bins of hidden owners": ({**OWNER, "sampler": "bins"}, "sampler = 'poisson'"),
    "bands of hidden owners": ({**OWNER, "bands": 2}, "bands = 1"),
    "persons of hidden owners": ({**OWNER, "examples_per_user": 2}, "no examples_per_user"),
    "a loss of hidden owners": ({**OWNER, "loss_noise": 30.0}, "no loss_noise with unit = 'owner'"),
    "a loss beside correlated noise": (
        {"sampler": "cyclic", "bands": 2, "loss_noise": 30.0},
        "no loss_noise with bands > 1",
    ),
    "a median of a secure sum": (
        {**SECURE, "combine": "median", "hostile_owners": 1},
        "combine = 'mean' and no 'scaffold' with secure_aggregation",
    ),
    "SCAFFOLD in a secure sum": (
        {**SECURE, "local_rule": "scaffold"},
        "combine = 'mean' and no 'scaffold' with secure_aggregation",
    ),
    "fewer bits in a secure sum": ({**SECURE, "wire": "int8"}, "wire = 'float32'"),
    "topk in a secure sum": ({**SECURE, "wire": "topk"}, "wire = 'float32'"),
    "a norm that follows a secret": ({**OWNER, **SECURE, **ADAPTIVE}, "no clip_quantile"),
    "a secure sum of two": (
        {**SECURE, "owners_per_round": 2, "min_replies": 2},
        "3 or more owners a round",
    ),
    "a secure sum of half": ({**SECURE, "num_owners": 6}, "min_replies above half"),
    "a secure sum that one who colludes could double": (
        {**SECURE, "hostile_owners": 1},
        "min_replies above half of them and of hostile_owners together",
    ),
}


@pytest.mark.parametrize("what", FITS)
def test_what_fits_is_accepted(what: str) -> None:
    TrainConfig.from_mapping(FITS[what])


@pytest.mark.parametrize("what", DOES_NOT)
def test_what_does_not_fit_is_refused_with_a_way_out(what: str) -> None:
    changes, expected = DOES_NOT[what]
    with pytest.raises(ValueError, match="^Expected ") as raised:
        TrainConfig.from_mapping(changes)
    assert expected in str(raised.value)


def test_a_plan_that_hides_owners_is_told_all_that_it_needs_at_once() -> None:
    """What the error says to add is enough."""
    hostile = {"combine": "median", "hostile_owners": 1, "min_replies": 3}
    plan: dict[str, object] = {"unit": "owner", "aggregation": "flora", **hostile, "bands": 2}
    with pytest.raises(ValueError, match="^Expected ") as raised:
        TrainConfig.from_mapping(plan)
    options = re.findall(r"--set (\w+)=(\S+)", str(raised.value))
    assert {"sampled", "max_update_norm", "aggregation", "combine"} < {name for name, _ in options}
    for name, text in options:
        word = isinstance(getattr(TrainConfig(), name), str)
        plan[name] = text if word else tomllib.loads(f"value = {text}")["value"]
    TrainConfig.from_mapping(plan)


KINDS = {"owner_dp": OWNER, "secure_aggregation": SECURE, "mixed_ranks": {"lora_ranks": "4,8"}}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_goes_with_what_it_declares_and_nothing_else(rule: str, kind: str) -> None:
    settings = {"aggregation": rule, **KINDS[kind]}
    if getattr(RULES[rule].compatibility, kind):
        TrainConfig.from_mapping(settings)
        return
    with pytest.raises(ValueError, match=f"got aggregation='{rule}'"):
        TrainConfig.from_mapping(settings)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_goes_with_the_privacy_of_examples(rule: str) -> None:
    TrainConfig.from_mapping({"aggregation": rule})
