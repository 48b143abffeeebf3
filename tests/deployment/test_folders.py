"""Folders of servers and nodes."""

from dataclasses import fields
from pathlib import Path

import pytest
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
from discreet.deployment.settings import SITE_KEYS, join_address, split_address
from discreet.errors import ArtifactError, DataError, DeploymentError, RunExists
from discreet.federated.client import OwnerSite
from discreet.federated.costs import CostLimits

HOST = ServerSettings(host="fed.test")


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


def test_settings_come_back_as_they_were_written(tmp_path: Path) -> None:
    folder = ServerFolder.create(tmp_path / "server", HOST)
    data = tmp_path / "people of 'ours'.parquet"
    data.touch()
    node = join(
        tmp_path / "node", folder.authority.certificate, data=str(data), max_epsilon=2.5, owner="a"
    )
    assert ServerFolder.open(folder.path).settings() == HOST
    site = NodeFolder.open(node.path).settings().site
    assert site == {"data": str(data), "max_epsilon": 2.5, "owner": "a"}


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


@pytest.mark.parametrize("name", ["", "../a", "a b", "Dr. No", "ä"])
def test_an_owner_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="pseudonym"):
        create_trial(tmp_path / "trial", [name])
    assert not (tmp_path / "trial").exists()


def test_data_that_are_not_there_are_told_before_anything_starts(tmp_path: Path) -> None:
    ca = ServerFolder.create(tmp_path / "server", HOST).authority.certificate
    node = join(tmp_path / "node", ca, data=str(tmp_path / "gone"), owner="a", ledger="l")
    with pytest.raises(DataError, match="data"):
        node.settings()


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
