"""``truetonne chain deploy | register``: contracts onto a network, projects onto the contracts."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.command import DryRun, Invocation, command, command_group

Project = Annotated[str, typer.Option("--project", help="Code of the project.")]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Put contracts and projects on a chain.")
    command(group, "deploy")(deploy)
    command(group, "register")(register_project)
    root.add_typer(group, name="chain")


def deploy(run: Invocation) -> None:
    """Deploy the contracts to the configured node, or to the local chain; harmless when they are."""
    from cli.deploying import ensure_deployed
    from ledger.chain.book import Deployment
    from ledger.chain.shared_node import check_chain_is_here, node_for
    from ledger.db import Database

    settings = run.settings
    settings.home.mkdir(parents=True, exist_ok=True)
    db = Database(settings.database_url)
    try:
        db.upgrade()
        check_chain_is_here(settings, db)
    finally:
        db.close()
    with node_for(settings) as rpc_url:
        new = ensure_deployed(settings, rpc_url)
    deployment = Deployment.load(settings.deployment)
    addresses = {name: item.address for name, item in deployment.contracts.items()}
    run.output.result(
        {"network": deployment.network, "deployed": new, "contracts": addresses},
        *(f"{name} at {address}" for name, address in addresses.items()),
        f"address book: {settings.deployment}",
    )


def register_project(run: Invocation, project: Project, dry_run: DryRun = False) -> None:
    """Register a project and its metered site with the credit contract; harmless when they are."""
    from cli.flow import open_flow
    from ledger import registration
    from ledger.errors import NotFound

    with open_flow(run.settings) as flow:
        flow.mirror()
        if dry_run:
            with flow.db.read() as session:
                known = registration.site_on_chain(session, project)
            shown = "is registered" if known else "would be registered"
            run.output.result(
                {"dry_run": True, "registered": known is not None}, f"{project} {shown}"
            )
            return
        for send in (registration.register_project, registration.register_site):
            key = send(flow.chain, project)
            if key is not None:
                flow.confirm([key])
        with flow.db.read() as session:
            site = registration.site_on_chain(session, project)
    if site is None:
        raise NotFound(f"the mirror does not show {project!r} after its registration")
    numbers = {"class_id": site.class_id, "project_id": site.project_id, "site_id": site.site_id}
    run.output.result(
        {"project": project, **numbers},
        f"{project}: class {site.class_id}, project {site.project_id}, site {site.site_id}",
    )
