"""``truetonne chain``: contracts onto a network, projects onto the contracts, and what is on its way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import intents, pending
from cli.command import DryRun, Invocation, command, command_group
from cli.credit_options import Project
from cli.files import make_home
from ledger.errors import BadInput
from ledger.settings import Settings, load_settings
from ledger.settings.deployment import deployment_variables

if TYPE_CHECKING:
    from ledger.chain.addresses.holders import Lacking

Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="NAME",
        help="Such as sepolia, whose node SEPOLIA_RPC_URL names; by default the configured one.",
    ),
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Put contracts and projects on a chain.")
    command(group, "deploy")(deploy)
    command(group, "verify")(verify)
    command(group, "register")(register_project)
    intents.register(group)
    pending.register(group)
    root.add_typer(group, name="chain")


def deploy(run: Invocation, network: Network = None, dry_run: DryRun = False) -> None:
    """Deploy the contracts to the configured node, or to the local chain; harmless when they are."""
    from cli.books import bring_up_to_date
    from cli.deployed_terms import check_as_deployed
    from cli.deploying import check_checkout, ensure_deployed
    from ledger.chain.addresses.book import Deployment
    from ledger.chain.local.shared import check_chain_is_here, node_for
    from ledger.chain.node.client import ChainClient
    from ledger.db import Database

    settings = _settings(run, network)
    given = deployment_variables(run.environ)  # where the contracts stand, no script looks at them
    if dry_run:
        _try_deploy(run, settings, given)
        return
    if not settings.deployment.exists():
        check_checkout("chain deploy")
    make_home(settings)
    bring_up_to_date(settings)
    if settings.local_chain:
        with closing(Database(settings.database_url)) as db:
            check_chain_is_here(settings, db)
    if settings.deployment.exists():
        check_as_deployed(given, settings)
    else:
        run.output.step(_begins(settings))
    with node_for(settings) as rpc_url:
        with closing(ChainClient(rpc_url)) as client:
            before = client.block_number()
        written = ensure_deployed(settings, rpc_url, settings.network, run.output.step)
        deployment = Deployment.load(settings.deployment)
        # The same code with the same arguments stands where it stood, also of a run that had no address book.
        made = {
            name for name, item in deployment.contracts.items() if written and item.block > before
        }
        # Of those that stood roles may have moved since; of new ones a fork may have taken back what was granted.
        without = _without_roles(settings, rpc_url)
    run.output.result(
        {
            "network": deployment.network,
            "deployed": bool(made),
            "contracts": {name: item.address for name, item in deployment.contracts.items()},
            "without_roles": [asdict(item) for item in without],
        },
        *(() if made else ("nothing was deployed: the contracts stand already",)),
        *(
            f"{name} at {item.address}{', where it stood already' if made and name not in made else ''}"
            for name, item in deployment.contracts.items()
        ),
        f"address book: {settings.deployment}",
        *_said_of_roles(without),
    )


def _without_roles(settings: Settings, rpc_url: str) -> list[Lacking]:
    """Return whom the deployment file names for a role that it does not have by now: no script has granted it anew."""
    from ledger.chain.addresses.book import Deployment
    from ledger.chain.addresses.holders import lacking
    from ledger.chain.node.client import ChainClient

    with closing(ChainClient(rpc_url)) as client:
        return lacking(client, Deployment.load(settings.deployment))


def _said_of_roles(without: Sequence[Lacking]) -> list[str]:
    if not without:
        return []
    return [
        *(item.sentence() for item in without),
        "roles were not granted again: `truetonne doctor` says what mends it, `truetonne chain verify` who has each",
    ]


def _begins(settings: Settings) -> str:
    return (
        f"compiling the contracts; what is sent to {settings.network} then is waited for, one transaction after the "
        "other"
    )


def _try_deploy(run: Invocation, settings: Settings, given: Mapping[str, str]) -> None:
    """Say whether contracts would be deployed. What is there is compared; what is not, is checked by the script.

    Of a local chain by an empty one that is not kept, and not for nothing: without variables and keys nothing is wrong.
    """
    from cli.books import bring_up_to_date
    from cli.deployed_terms import check_as_deployed
    from cli.deploying import check_checkout, ensure_deployed, try_deploy
    from ledger.chain.local.anvil import LocalNode, find_anvil
    from ledger.chain.local.shared import node_for
    from ledger.chain.node.client import ChainClient

    document: dict[str, Any] = {"network": settings.network, "deployed": False}
    if settings.deployment.exists():
        check_as_deployed(given, settings)
        with node_for(settings) as rpc_url:
            ensure_deployed(settings, rpc_url)
            without = _without_roles(settings, rpc_url)
        run.output.result(
            {**document, "without_roles": [asdict(item) for item in without]},
            f"the contracts of {settings.network} are there",
            *_said_of_roles(without),
        )
        return
    check_checkout("chain deploy")
    bring_up_to_date(settings, dry_run=True)
    document["deployed"] = True
    would = f"would deploy to {settings.network}, and write {settings.deployment}"
    if settings.local_chain and not given and settings.keystore is None:
        run.output.result(document, would)
        return
    with ExitStack() as open_here:
        rpc_url = settings.rpc_url
        if settings.local_chain:
            rpc_url = open_here.enter_context(LocalNode(find_anvil(settings.anvil))).rpc_url
        with closing(ChainClient(rpc_url)) as client:
            client.chain_id()
        run.output.step("compiling the contracts, and checking variables, keys, money and chain")
        found = try_deploy(settings, rpc_url, settings.network)
    contracts = found["contracts"]
    run.output.result(
        {
            **document,
            "contracts": {name: item["address"] for name, item in contracts.items()},
            "constructors": {name: item["constructor"] for name, item in contracts.items()},
            "roles": found["roles"],
            "class": found["class"],
        },
        would,
        *(
            f"{name} at {item['address']}{', where it stands already' if item['stands'] else ''}"
            for name, item in contracts.items()
        ),
        *found["lines"],
    )


def verify(run: Invocation, network: Network = None) -> int:
    """Compile the sources and compare them with what the network runs: code, arguments, addresses, roles."""
    from cli.deploying import check_checkout
    from cli.deploying import verify as verify_on
    from ledger.chain.access import load_deployment
    from ledger.chain.local.shared import node_for

    check_checkout("chain verify")
    settings = _settings(run, network)
    load_deployment(settings)  # first: without one no node needs to be started
    with node_for(settings) as rpc_url:
        found = verify_on(settings, rpc_url, settings.network)
    run.output.result(
        {
            "network": settings.network,
            "verified": found["verified"],
            "contracts": [{**row, "verified": not row["differs"]} for row in found["contracts"]],
            "roles": found["roles"],
            "handovers": found["handovers"],
            "terms": found["terms"],
            "currency": found["currency"],
            "class": found["class"],
        },
        *found["lines"],
    )
    return 0 if found["verified"] else 1


def _settings(run: Invocation, network: str | None) -> Settings:
    """Return the settings for a network: that of the environment, unless another one is named.

    Raises
    ------
    BadInput
        If no node of it is known, or the deployment file of the settings is another network's.
    """
    from ledger.chain.addresses.book import Deployment

    if network is None:
        return run.settings
    variable = f"{network.upper().replace('-', '_')}_RPC_URL"
    of_the_name = run.environ.get(variable)
    if network == run.settings.network and (run.settings.rpc_url or not of_the_name):
        return run.settings
    rpc_url = of_the_name or run.environ.get("TRUETONNE_RPC_URL")
    if not rpc_url:
        raise BadInput(
            f"no node is known for network {network!r}: set {variable}, or rpc_url",
            code="no-node",
        )
    given = {"TRUETONNE_NETWORK": network, "TRUETONNE_RPC_URL": rpc_url}
    settings = load_settings(run.config, {**run.environ, **given})
    if settings.deployment.exists():
        of = Deployment.load(settings.deployment).network
        if of != network:
            raise BadInput(
                f"--network is {network}, and {settings.deployment}, which deployment names, is of {of}: unset "
                "deployment, or name the file of that network"
            )
    return settings


def register_project(
    run: Invocation,
    project: Project,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="0x...",
            help="Account of its owner, for ever: it is issued to. By default the deployment file's.",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Register a project and its metered site with the credit contract; harmless when they are."""
    from cli.registering import register_once
    from ledger import registration
    from ledger.chain.keys.signers import resolve_account
    from ledger.errors import NotFound

    with run.flow() as flow:
        account = None
        if owner is not None:  # an empty word is no account, and nobody means the default by it
            account = resolve_account(owner, flow.chain.deployment.chain_id)
        flow.mirror()
        with flow.db.read() as session:
            registration.check_owner(session, project, account)
        if dry_run:
            found = registration.rehearse(flow.chain, project, account)
            shown = "is registered" if found.registered else "would be registered"
            if found.transaction is not None:
                shown = f"is on its way, by transaction {found.transaction}: the command would go on with it"
            run.output.result(asdict(found), f"{project} {shown}")
            return
        register_once(flow, project, account)
        with flow.db.read() as session:
            registration.check_owner(session, project, account)  # others may have been the first
            site = registration.site_on_chain(session, project)
    if site is None:
        raise NotFound(
            f"the mirror does not show {project!r} after its registration; `truetonne index status` says where that is"
        )
    numbers = {"class_id": site.class_id, "project_id": site.project_id, "site_id": site.site_id}
    run.output.result(
        {"project": project, **numbers, "owner": site.owner},
        f"{project}: class {site.class_id}, project {site.project_id}, site {site.site_id}, owner {site.owner}",
    )
