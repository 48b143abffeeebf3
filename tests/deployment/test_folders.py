"""Folders of servers and nodes."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from discreet.deployment import (
    NodeFolder,
    NodeSettings,
    ServerFolder,
    ServerSettings,
    create_trial,
    fingerprint,
)
from discreet.deployment.node import check_roster
from discreet.deployment.settings import SITE_KEYS, UNITS, join_address, split_address
from discreet.errors import (
    ArtifactCorrupt,
    ArtifactError,
    DataError,
    DeploymentError,
    RunExists,
)
from discreet.federated.client import OwnerSite
from discreet.federated.config import CHOICES
from discreet.federated.costs import CostLimits
from discreet.keys import read_credentials, read_roster, write_roster
from discreet.types import OwnerId

HOST = ServerSettings(host="fed.test")


def folders_in(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir())


def join(folder: Path, ca: Path, **site: str | int | float) -> NodeFolder:
    settings = NodeSettings(superlink="fed.test:8000", site=site)
    return NodeFolder.create(folder, name="clinic-a", ca_certificate=ca, settings=settings)


def test_a_node_may_say_what_its_app_reads_and_nothing_else() -> None:
    asked_for = {f.name for f in fields(OwnerSite)} - {"turn"}  # which follows from partition-id
    asked_for = (asked_for - {"costs"}) | {f.name for f in fields(CostLimits)}
    assert set(SITE_KEYS) == asked_for | {"partition-id", "num-partitions"}
    with pytest.raises(ValueError, match="max_epsilom"):
        NodeSettings(superlink="fed.test:8000", site={"max_epsilom": 1.0})


def test_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = ServerFolder.create(tmp_path / "server", HOST)
    node = join(tmp_path / "node", folder.authority.certificate)
    assert [p.stat().st_mode & 0o777 for p in (folder.path, node.path)] == [0o700, 0o700]
    assert folder.operator_key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["max_request_mib", "max_reply_mib"])
def test_a_limit_that_limits_nothing_is_refused(name: str) -> None:
    for value in (0, -1, 1.5, True, "8"):
        with pytest.raises(ValueError, match=name):
            ServerSettings(host="fed.test", **{name: value})


def test_settings_come_back_as_they_were_written(tmp_path: Path) -> None:
    folder = ServerFolder.create(tmp_path / "server", HOST)
    data = tmp_path / "people of 'ours'.parquet"
    data.touch()
    node = join(
        tmp_path / "node",
        folder.authority.certificate,
        **{"data": str(data), "max_epsilon": 2.5, "owner": "a", "ledger": str(tmp_path / "l")},
    )
    assert ServerFolder.open(folder.path).settings() == HOST
    site = NodeFolder.open(node.path).settings().site
    assert site == {
        "data": str(data),
        "max_epsilon": 2.5,
        "owner": "a",
        "ledger": str(tmp_path / "l"),
        **node.own_keys,
    }


def test_a_node_has_a_signing_key_of_its_own_and_no_roster_yet(tmp_path: Path) -> None:
    folder = ServerFolder.create(tmp_path / "server", HOST)
    node = join(tmp_path / "node", folder.authority.certificate)
    assert node.signing_key.stat().st_mode & 0o777 == 0o600
    assert node.signing_public.name == "clinic-a.signing.pem"
    assert list(read_roster(node.signing_public).owners) == ["clinic-a"]
    assert not node.roster.exists()
    assert node.public_key.name == "clinic-a.pub"
    with pytest.raises(ValueError, match="together"):
        NodeSettings(superlink="fed.test:8000", site={"roster": "/a/file"})


def test_owners_of_a_trial_know_each_other(tmp_path: Path) -> None:
    folder = create_trial(tmp_path / "trial", ["a", "b", "c"])
    sites = [NodeFolder.open(folder.path / "owners" / n).settings().site for n in "abc"]
    known = [
        read_credentials(Path(str(site["signing_key"])), Path(str(site["roster"])))
        for site in sites
    ]
    assert [sorted(each.roster.owners) for each in known] == [["a", "b", "c"]] * 3
    assert len({each.key.private_bytes_raw() for each in known}) == 3
    assert read_roster(folder.roster) == known[0].roster, "what the server may know is public"


def test_a_node_starts_with_a_roster_that_it_can_use_or_with_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ServerFolder.create(tmp_path / "server", HOST)
    ca = folder.authority.certificate
    node, other = (join(tmp_path / name, ca) for name in ("node", "other"))
    check_roster(node)
    assert "will be refused" in caplog.text
    write_roster(node.roster, read_roster(other.signing_public))
    with pytest.raises(DeploymentError, match="with your key"):
        check_roster(node)
    node.roster.write_text("no roster")
    with pytest.raises(ArtifactCorrupt, match="roster.pem"):
        check_roster(node)
    write_roster(node.roster, read_roster(node.signing_public))
    check_roster(node)
    node.signing_key.chmod(0o644)
    with pytest.raises(DeploymentError, match="mode 0644"):
        check_roster(node)
    node.signing_key.unlink()
    with pytest.raises(DeploymentError, match="with your key"):
        check_roster(node)
    assert node.signing_key.stat().st_mode & 0o777 == 0o600, "a new one, for a new roster"


def test_a_folder_in_use_is_not_taken(tmp_path: Path) -> None:
    ServerFolder.create(tmp_path / "server", HOST)
    with pytest.raises(RunExists, match="server"):
        ServerFolder.create(tmp_path / "server", HOST)
    for kind in (ServerFolder, NodeFolder):
        with pytest.raises(ArtifactError, match="discreet federation"):
            kind.open(tmp_path / "nowhere")


def test_a_new_certificate_is_of_the_same_authority(tmp_path: Path) -> None:
    folder = ServerFolder.create(tmp_path / "server", HOST)
    before = fingerprint(folder.authority.certificate), fingerprint(folder.certificate)
    folder.renew()
    after = fingerprint(folder.authority.certificate), fingerprint(folder.certificate)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_an_admitted_key_is_not_replaced_by_another(tmp_path: Path) -> None:
    folder = ServerFolder.create(tmp_path / "server", HOST)
    ca = folder.authority.certificate
    first, second = (join(tmp_path / name, ca) for name in ("first", "second"))
    folder.admit(first.public_key)
    folder.admit(first.public_key)
    with pytest.raises(DeploymentError, match=r"clinic-a\.pub"):
        folder.admit(second.public_key)
    assert list(folder.admitted()) == ["clinic-a"]


@pytest.mark.parametrize("name", ["", "../a", "a b", "Dr. No", "ä", "-a", "a" * 65])
def test_an_owner_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="pseudonym"):
        create_trial(tmp_path / "trial", ["a", name])
    assert folders_in(tmp_path) == []


def test_one_name_twice_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different owners"):
        create_trial(tmp_path / "trial", ["a", "b", "a"])
    assert folders_in(tmp_path) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_what_fails_half_way_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Also inside a folder that was there, empty: it may be a mounted one."""
    path = tmp_path / "trial"
    if is_there:
        path.mkdir()
    with monkeypatch.context() as full:
        full.setattr(ServerFolder, "admit", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            create_trial(path, ["a", "b"])
    assert folders_in(tmp_path) == (["trial"] if is_there else [])
    assert not is_there or folders_in(path) == []
    made = create_trial(path, ["a", "b"])
    assert list(made.admitted()) == folders_in(path / "owners") == ["a", "b"]
    assert path.stat().st_mode & 0o777 == 0o700
    assert not [name for name in folders_in(path) if name.startswith(".new")]
    site = NodeFolder.open(path / "owners" / "b").settings().site
    assert site["ledger"] == str(path / "owners" / "b" / "ledger.jsonl")


def test_data_that_are_not_there_are_told_before_anything_starts(tmp_path: Path) -> None:
    ca = ServerFolder.create(tmp_path / "server", HOST).authority.certificate
    site = {"data": str(tmp_path / "people"), "owner": "a", "ledger": str(tmp_path / "l")}
    with pytest.raises(DataError, match="data"):
        join(tmp_path / "node", ca, **site)
    assert folders_in(tmp_path) == ["server"]
    (tmp_path / "people").touch()
    node = join(tmp_path / "node", ca, **site)
    (tmp_path / "people").unlink()
    with pytest.raises(DataError, match="data"):
        node.settings()


@pytest.mark.parametrize("key", ["base", "root", "ledger"])
def test_a_path_of_another_kind_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").touch()
    wrong = tmp_path / "file" if key != "ledger" else tmp_path
    with pytest.raises(DataError, match=key):
        NodeSettings(superlink="fed.test:8000", site={key: str(wrong)}).require_paths()
    below = NodeSettings(superlink="fed.test:8000", site={"ledger": str(tmp_path / "file" / "l")})
    with pytest.raises(DataError, match="ledger"):
        below.require_paths()


VALUES = st.one_of(
    st.sampled_from(["example", "user", "owner", "person", "", "1"]),
    st.integers(-2, 2),
    st.floats(width=32),
    st.booleans(),
)


@given(values=st.dictionaries(st.sampled_from([k for k in SITE_KEYS if k != "data"]), VALUES))
def test_what_settings_take_the_owners_site_takes(values: dict[str, str | int | float]) -> None:
    """Two routes: this room's own check, and what the node's app makes of the same file."""
    own = {"owner": "a", "ledger": "/l", "data": "/d"}
    try:
        settings = NodeSettings(superlink="fed.test:8000", site={**own, **values})
    except ValueError:
        return
    node = dict(settings.site)
    state = RecordDict()
    OwnerSite.of_node(Context(run_id=1, node_id=1, node_config=node, state=state, run_config={}))


@given(
    limit=st.one_of(st.floats(), st.integers()), key=st.sampled_from(["max_epsilon", "max_delta"])
)
def test_a_limit_that_the_owners_site_refuses_is_refused_at_once(limit: float, key: str) -> None:
    def is_taken(make: Callable[[], object]) -> bool:
        try:
            make()
        except (ValueError, OverflowError):
            return False
        return True

    by_settings = is_taken(lambda: NodeSettings(superlink="fed.test:8000", site={key: limit}))
    site = {"owner": OwnerId("a"), "ledger": Path("/l"), key: limit}
    assert by_settings == is_taken(lambda: OwnerSite(**site))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("unit", "person"),
        ("lora_rank", 0),
        ("lora_rank", 2.0),
        ("lora_rank", True),
        ("max_epsilon", "4"),
        ("max_delta", True),
        ("trusts_server", "false"),
        ("trusts_server", 1),
        ("partition-id", -1),
        ("owner", ""),
        ("data", 3),
    ],
)
def test_a_value_that_would_limit_nothing_is_refused_and_no_text_but_the_units_repeated(
    key: str, value: str | float
) -> None:
    with pytest.raises(ValueError, match=f"as {key}, got") as refused:
        NodeSettings(superlink="fed.test:8000", site={key: value})
    is_repeated = value != "" and f"got {value}" in str(refused.value)
    assert is_repeated == (key == "unit" or isinstance(value, int | float))


def test_units_are_those_of_a_plan() -> None:
    assert CHOICES["unit"] == UNITS


@pytest.mark.parametrize(
    "wrong", [{"host": "https://fed.test"}, {"port": 0}, {"listen": "fed.test"}, {"host": ""}]
)
def test_what_is_no_address_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        ServerSettings(**{"host": "fed.test", **wrong})  # type: ignore[arg-type]


@given(
    host=st.one_of(st.ip_addresses().map(str), st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True)),
    port=st.integers(1, 65535),
)
def test_an_address_comes_apart_as_it_was_put_together(host: str, port: int) -> None:
    assert split_address(join_address(host, port)) == (host, port)


@pytest.mark.parametrize("text", ["fed.test", ":8000", "fed.test:0", "fed.test:x", "a:70000"])
def test_an_address_without_a_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)
