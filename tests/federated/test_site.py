"""Where an owner keeps things, and which plans an owner accepts."""

from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from discreet.errors import ArtifactCorrupt, DeploymentError, PolicyError
from discreet.federated import TrainConfig
from discreet.federated.site import OwnerSite
from discreet.keys import make_signing_key
from discreet.types import OwnerId
from federated.tiny import tiny_config

OWN_DATA = {"owner": "clinic-a", "ledger": "/l.jsonl", "data": "/d.parquet"}
HIDDEN = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}
SECURE = {"secure_aggregation": True, "num_owners": 4, "min_replies": 3}


def context(**node_config: object) -> Context:
    return Context(run_id=7, node_id=3, node_config=node_config, state=RecordDict(), run_config={})


def test_a_simulated_owner_is_named_by_its_part(tmp_path: Path) -> None:
    site = OwnerSite.of_node(context(**{"partition-id": 2}), tmp_path / "ledger.jsonl")
    assert (site.owner, site.ledger, site.data) == ("owner-2", tmp_path / "ledger.jsonl", None)


def test_simulated_owners_of_two_runs_have_two_ledgers() -> None:
    first, second = context(), context()
    second.run_id += 1
    assert OwnerSite.of_node(first).ledger != OwnerSite.of_node(second).ledger


@pytest.mark.parametrize("missing", ["owner", "ledger"])
def test_own_data_needs_a_name_and_a_ledger_that_stays(missing: str, tmp_path: Path) -> None:
    node = {key: value for key, value in OWN_DATA.items() if key != missing}
    with pytest.raises(ValueError, match=f"no {missing}"):
        OwnerSite.of_node(context(**node), tmp_path / "ledger.jsonl")


def test_a_site_is_read_from_the_node_configuration() -> None:
    site = OwnerSite.of_node(context(**OWN_DATA, max_epsilon=2, max_delta=1e-6), Path("/other"))
    assert site == OwnerSite(
        owner=OwnerId("clinic-a"),
        ledger=Path("/l.jsonl"),
        data=Path("/d.parquet"),
        max_epsilon=2.0,
        max_delta=1e-6,
    )


@pytest.mark.parametrize(
    "change",
    [{"reproducible": True}, {"target_epsilon": 8.1}, {"delta": 2e-5}],
    ids=lambda change: next(iter(change)),
)
def test_a_plan_that_protects_too_little_is_refused(change: dict[str, object]) -> None:
    plan = replace(TrainConfig(), **change)
    with pytest.raises(PolicyError, match="^Expected "):
        OwnerSite.of_node(context(**OWN_DATA)).check(plan)
    OwnerSite.of_node(context()).check(plan)


def test_the_defaults_are_accepted() -> None:
    OwnerSite.of_node(context(**OWN_DATA)).check(TrainConfig())


def test_an_owner_may_insist_that_persons_are_hidden() -> None:
    site = OwnerSite.of_node(context(**OWN_DATA, unit="user"))
    with pytest.raises(PolicyError, match="hides a whole user"):
        site.check(TrainConfig())
    site.check(TrainConfig(unit="user", examples_per_user=4))
    with pytest.raises(ValueError, match="unit"):
        OwnerSite.of_node(context(**OWN_DATA, unit="magic"))


@pytest.mark.parametrize(
    ("limits", "plan", "said"),
    [
        ({}, {"num_owners": 3, "min_replies": 2}, "min_replies >= 3"),
        ({"min_members": 4}, SECURE, "min_replies >= 4"),
        ({"min_hostile_owners": 1}, SECURE, "hostile_owners >= 1"),
        ({"min_hostile_owners": 2}, {**SECURE, "hostile_owners": 1}, "hostile_owners >= 2"),
    ],
)
def test_what_a_sum_rests_on_is_not_for_the_server_to_say(
    limits: dict[str, int], plan: dict[str, object], said: str
) -> None:
    """The noise of each owner is divided by both numbers of the plan."""
    asked = TrainConfig.from_mapping({**plan, "secure_aggregation": True})
    with pytest.raises(PolicyError, match=rf"{said} .*lower min_\w+ in \[site\] of node\.toml"):
        OwnerSite.of_node(context(**OWN_DATA, **limits)).check(asked)
    OwnerSite.of_node(context(**OWN_DATA, min_members=0)).check(asked)
    OwnerSite.of_node(context(**limits)).check(asked)


def test_what_sums_rest_on_says_nothing_of_plans_without_one() -> None:
    site = OwnerSite.of_node(context(**OWN_DATA, min_members=9, min_hostile_owners=9))
    site.check(TrainConfig())


@pytest.mark.parametrize("value", [-1, 1.5, True, "3"])
@pytest.mark.parametrize("name", ["min_members", "min_hostile_owners"])
def test_a_number_of_owners_is_whole(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"whole {name}"):
        OwnerSite.of_node(context(**OWN_DATA, **{name: value}))


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 0.0, -1.0])
@pytest.mark.parametrize("name", ["max_epsilon", "max_delta"])
def test_a_limit_that_limits_nothing_is_refused(name: str, limit: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=name):
        OwnerSite(owner=OwnerId("clinic"), ledger=tmp_path / "l.jsonl", **{name: limit})


def test_a_server_names_no_folder_that_the_owner_did_not_accept(tmp_path: Path) -> None:
    site = OwnerSite(owner=OwnerId("clinic"), ledger=tmp_path / "l.jsonl", data=tmp_path / "d")
    asked = tiny_config(base="/srv/models/llava", reproducible=False)
    with pytest.raises(PolicyError, match="may not name folders") as caught:
        site.check(asked)
    assert "/srv" not in str(caught.value)
    replace(site, base="/srv/models/llava").check(asked)


def test_an_owner_who_wants_to_be_hidden_whole_takes_no_less() -> None:
    site = OwnerSite.of_node(context(**OWN_DATA, unit="owner", trusts_server=True))
    for plan in (TrainConfig(), TrainConfig(unit="user", examples_per_user=4)):
        with pytest.raises(PolicyError, match="hides a whole owner"):
            site.check(plan)
    site.check(TrainConfig(**HIDDEN, **SECURE))


@pytest.mark.parametrize("trusts", [True, False, "true", 1, "false"])
def test_a_server_that_sees_updates_is_accepted_by_a_plain_yes_only(trusts: object) -> None:
    site = OwnerSite.of_node(context(**OWN_DATA, trusts_server=trusts))
    plan = TrainConfig(**HIDDEN)
    if trusts is True:
        site.check(plan)
        return
    with pytest.raises(PolicyError, match="the server adds it"):
        site.check(plan)


def test_a_share_of_the_noise_needs_trust_too_since_members_could_be_invented() -> None:
    plan = TrainConfig(**HIDDEN, **SECURE)
    with pytest.raises(PolicyError, match="members that it invents"):
        OwnerSite.of_node(context(**OWN_DATA)).check(plan)
    OwnerSite.of_node(context(**OWN_DATA, trusts_server=True)).check(plan)


def test_a_share_of_the_noise_needs_no_trust_where_the_members_are_known(tmp_path: Path) -> None:
    key, roster = tmp_path / "signing.key", tmp_path / "roster.pem"
    make_signing_key(key, roster, owner="clinic-a")
    own = {"signing_key": str(key), "roster": str(roster)}
    site = OwnerSite.of_node(context(**OWN_DATA, **own))
    assert site.credentials is not None
    site.check(TrainConfig(**HIDDEN, **SECURE))
    with pytest.raises(PolicyError, match="the server adds it"):
        site.check(TrainConfig(**HIDDEN))
    site.check(TrainConfig())
    key.chmod(0o644)
    with pytest.raises(DeploymentError, match="mode 0644"):
        site.check(TrainConfig(**SECURE))
    site.check(TrainConfig())
    key.chmod(0o600)
    make_signing_key(tmp_path / "other.key", roster, owner="clinic-b")
    with pytest.raises(DeploymentError, match="with your key"):
        site.check(TrainConfig(**SECURE))
    roster.unlink()
    with pytest.raises(ArtifactCorrupt, match="roster"):
        site.check(TrainConfig(**SECURE))


@pytest.mark.parametrize("name", ["signing_key", "roster"])
@pytest.mark.parametrize("node", [OWN_DATA, {}], ids=["data", "simulated"])
def test_a_key_without_a_roster_knows_nobody(name: str, node: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="together"):
        OwnerSite.of_node(context(**node, **{name: "/a/file"}))


def test_simulated_owners_take_the_plans_ranks_in_turn() -> None:
    config = TrainConfig(aggregation="flexlora", lora_ranks="2,4,8")
    ranks = [OwnerSite.of_node(context(**{"partition-id": k})).rank_in(config) for k in range(5)]
    assert ranks == [2, 4, 8, 2, 4]
    assert OwnerSite.of_node(context(**{"partition-id": 3})).rank_in(TrainConfig()) == 8


def test_an_owners_own_rank_has_to_be_one_of_the_plans() -> None:
    config = TrainConfig(aggregation="flexlora", lora_ranks="2,4,8")
    assert OwnerSite.of_node(context(**OWN_DATA, lora_rank=4)).rank_in(config) == 4
    assert OwnerSite.of_node(context(**OWN_DATA)).rank_in(config) == 8
    with pytest.raises(ValueError, match="among the plan's 2, 4, 8, got 3"):
        OwnerSite.of_node(context(**OWN_DATA, lora_rank=3)).rank_in(config)


def test_what_owners_keep_lies_beside_the_ledger_under_no_name(tmp_path: Path) -> None:
    sites = [
        OwnerSite(owner=OwnerId(owner), ledger=tmp_path / "ledger.jsonl")
        for owner in ("clinic/../a", "clinic-b")
    ]
    paths = [path for site in sites for path in (site.memory_path, site.sum_path)]
    assert {path.parent for path in paths} == {tmp_path}
    assert len(set(paths)) == 4
    assert not any("clinic" in path.name for path in paths)
