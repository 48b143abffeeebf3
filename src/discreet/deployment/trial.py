"""A federation on one machine, to try it: a server's folder and those of simulated owners.

    folder = create_trial(Path("trial"), ["clinic-a", "clinic-b", "clinic-c"])

What lies in each folder stands in `folders`. Real owners each make their own: a trial holds the
private keys of all. This file starts nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from discreet.deployment.folders import NodeFolder, ServerFolder, check_name, made_whole
from discreet.deployment.settings import NodeSettings, ServerSettings, SiteValue, join_address
from discreet.keys import Roster, read_roster, write_roster


def create_trial(path: Path, owners: Sequence[str], *, port: int = 8000) -> ServerFolder:
    """Return a federation on this machine alone: a server, and a node folder for each owner.

    Owners are simulated, with the packaged people and the roster of all; they lie in `owners/`.
    """
    for owner in owners:
        check_name(owner)
    if len(set(owners)) < len(owners):
        raise ValueError("Expected different owners, got one twice. Give each a name of its own.")
    address = join_address("localhost", port)
    with made_whole(path) as fresh:
        settings = ServerSettings(host="localhost", port=port, listen="127.0.0.1")
        folder = ServerFolder.create(fresh, settings)
        nodes = []
        for index, owner in enumerate(owners):
            site: dict[str, SiteValue] = {
                "partition-id": index,
                "num-partitions": len(owners),
                "ledger": str(path.resolve() / "owners" / owner / "ledger.jsonl"),
                **NodeFolder(path.resolve() / "owners" / owner).own_keys,
            }
            node = NodeFolder.create(
                fresh / "owners" / owner,
                name=owner,
                ca_certificate=folder.authority.certificate,
                settings=NodeSettings(superlink=address, site=site),
            )
            folder.admit(node.public_key)
            nodes.append(node)
        roster = Roster.joined(read_roster(node.signing_public) for node in nodes)
        for place in (folder.roster, *(node.roster for node in nodes)):
            write_roster(place, roster)
    return ServerFolder(path)
