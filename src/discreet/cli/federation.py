"""`discreet federation`: a server, its owners' nodes, and runs over several machines.

The operator of the server: `init`, `admit`, `server`, `renew`, and, in `federation_run`, `status`
and `run`. An owner: `join`, `roster`, `node`. What each writes and starts lies in
`discreet.deployment`.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from discreet.cli.federation_run import AppPath, ServerPath, app_of, run, status
from discreet.cli.options import Json, show_json, talk
from discreet.deployment import (
    NodeFolder,
    NodeSettings,
    ServerFolder,
    ServerSettings,
    create_trial,
    fingerprint,
    is_healthy,
    open_control,
    start_node,
    start_server,
)
from discreet.errors import DeploymentError
from discreet.keys import Roster, read_roster, write_roster

app = typer.Typer(
    add_completion=False, help="Run a federation over several machines.", no_args_is_help=True
)

NodePath = Annotated[Path, typer.Argument(help="The node's folder.")]


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    host: Annotated[
        str, typer.Option(help="Name or address by which owners reach the server.")
    ] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 8000,
    listen: Annotated[str, typer.Option(help="Address of the interface to listen on.")] = "0.0.0.0",
    owners: Annotated[
        str | None,
        typer.Option(help="Make a trial on this machine with these owners: clinic-a,clinic-b."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a server's folder: certificate authority, certificate, settings.

    With --owners, also a node's folder for each owner, for a trial on this machine with the
    packaged people. Real owners make theirs with `discreet federation join`.
    """
    if owners is None:
        made = ServerFolder.create(folder, ServerSettings(host=host, port=port, listen=listen))
    elif host != "localhost":
        raise typer.BadParameter(
            "Expected no other host for a trial on this machine. Leave --host or --owners out.",
            param_hint="--owners",
        )
    else:
        made = create_trial(folder, _names(owners), port=port)
    ca = made.authority.certificate
    if as_json:
        show_json({"folder": str(folder), "ca": str(ca), "fingerprint": fingerprint(ca)})
        return
    talk().print("Send this file to every owner, and read them its fingerprint:", markup=False)
    typer.echo(str(ca))
    talk().print(fingerprint(ca), markup=False)


@app.command("admit")
def admit(
    folder: ServerPath,
    keys: Annotated[
        list[Path] | None, typer.Argument(help="Public keys that owners sent (.pub).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let owners take part; a server that runs knows at once.

    To strike an owner off, remove the file from `admitted/` and give this command without a key.
    """
    server = ServerFolder.open(folder)
    for key in keys or []:
        server.admit(key)
    admitted = server.admitted()
    is_running = is_healthy(server)
    if is_running:
        with open_control(server) as control:
            control.sync_nodes(admitted)
    if as_json:
        show_json({"admitted": sorted(admitted), "server_knows": is_running})
        return
    for owner in sorted(admitted):
        typer.echo(owner)


@app.command("server")
def server(folder: ServerPath) -> None:
    """Run the server in the foreground until it is stopped."""
    _end_on_sigterm()
    opened = ServerFolder.open(folder)
    with start_server(opened) as running:
        settings = opened.settings()
        talk().print(
            f"The server answers at {settings.host}:{settings.port}; owners admitted: "
            f"{len(opened.admitted())}. Ctrl-C ends it.",
            markup=False,
        )
        status = running.wait()
    raise DeploymentError(f"Expected a server until it is stopped, got its end ({status}).")


app.command("status")(status)


@app.command("renew")
def renew(folder: ServerPath) -> None:
    """Make the server's next certificate, for another year; owners need nothing new."""
    opened = ServerFolder.open(folder)
    opened.renew()
    talk().print("Start the server again: it reads certificates at its start.", markup=False)
    typer.echo(str(opened.certificate))


@app.command("join")
def join(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    to: Annotated[str, typer.Option("--server", help="The server: fed.example.org:8000.")],
    ca: Annotated[Path, typer.Option("--ca", help="The federation's ca.crt.")],
    owner: Annotated[str, typer.Option(help="Pseudonym; the server's operator sees it.")],
    data: Annotated[Path, typer.Option(help="The owner's data; they stay where they are.")],
    ledger: Annotated[
        Path | None, typer.Option(help="What was spent; in the node's folder by default.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where the pictures of --data lie, if the set was moved.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="Folder of a base that is accepted besides the shipped.")
    ] = None,
    max_epsilon: Annotated[
        float | None, typer.Option(help="Largest target_epsilon that is accepted; 8 by default.")
    ] = None,
    max_delta: Annotated[
        float | None, typer.Option(help="Largest delta that is accepted; 1e-5 by default.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Least that a plan has to hide: example, user or owner."),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(help="Rank of this owner's adapter, one of the plan's.")
    ] = None,
    trusts_server: Annotated[
        bool,
        typer.Option(
            "--trust-server", help="Accept plans in which the server adds the noise to updates."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an owner's folder: key pairs, trusted authority, data, limits.

    Data, paths and limits are checked first; the folder is made whole or not at all.
    """
    from discreet.sources import own_examples_in  # a node reads no data itself

    paths = {"data": data, "ledger": ledger or folder / "ledger.jsonl", "root": root, "base": base}
    limits: dict[str, str | float | None] = {
        "max_epsilon": max_epsilon,
        "max_delta": max_delta,
        "unit": unit,
        "lora_rank": rank,
        "trusts_server": trusts_server or None,
    }
    site = {
        "owner": owner,
        **{name: str(path.resolve()) for name, path in paths.items() if path is not None},
        **{name: value for name, value in limits.items() if value is not None},
    }
    settings = NodeSettings(superlink=to, site=site)
    settings.require_paths()
    examples = own_examples_in(data)
    if root is not None and examples == "portraits":
        raise typer.BadParameter(
            "Expected a root for a shard of conversations only, got one for portraits. Leave it "
            "out.",
            param_hint="--root",
        )
    made = NodeFolder.create(folder, name=owner, ca_certificate=ca, settings=settings)
    signing = made.signing_public
    (own,) = read_roster(signing).fingerprints().values()
    if as_json:
        key = {"public_key": str(made.public_key), "examples": examples}
        found = {**key, "fingerprint": fingerprint(ca)}
        found |= {"signing_public": str(signing), "signing_fingerprint": own}
        show_json({"folder": str(folder), **found})
        return
    _say_what_comes_next(made, ca, examples, own)


@app.command("roster")
def roster(
    keys: Annotated[list[Path], typer.Argument(help="Owners' .signing.pem files, or rosters.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Roster to write; owners and the server keep it as roster.pem."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show whose keys are in files, and put them into one roster for secure sums.

    Compare each fingerprint with that owner by telephone: who writes a roster decides with whom the
    others add up. A server with a copy leaves out whom the owners would refuse, and names them.
    """
    joined = Roster.joined(read_roster(key) for key in keys)
    found = joined.fingerprints()
    if out:
        write_roster(out, joined)
    if as_json:
        show_json({"roster": str(out) if out else None, "owners": found})
        return
    for owner, digits in sorted(found.items()):
        typer.echo(f"{owner}  {digits}")


@app.command("node")
def node(folder: NodePath, app_folder: AppPath = None) -> None:
    """Run an owner's node in the foreground until it is stopped."""
    _end_on_sigterm()
    with start_node(NodeFolder.open(folder), app=app_of(app_folder)) as running:
        status = running.wait()
    raise DeploymentError(
        f"Expected a node until it is stopped, got its end ({status}). If the server does not know "
        "it, send the .pub file of its folder to the operator."
    )


app.command("run")(run)


def _names(owners: str) -> list[str]:
    return [name.strip() for name in owners.split(",")]


def _end_on_sigterm() -> None:
    """Let what a service manager sends end the block in which something runs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _say_what_comes_next(made: NodeFolder, ca: Path, examples: str, own: str) -> None:
    """Tell an owner who joined what to compare with whom, and what to send."""
    talk().print(f'The data fit plans with examples = "{examples}".', markup=False)
    talk().print("Compare this fingerprint with the server's operator:", markup=False)
    talk().print(fingerprint(ca), markup=False)
    talk().print(
        f"For secure sums, give {made.signing_public} to the other owners, and read them:",
        markup=False,
    )
    talk().print(own, markup=False)
    talk().print("Then send this file to be admitted:", markup=False)
    typer.echo(str(made.public_key))
