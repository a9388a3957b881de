"""`maixpix setup`: the board's settings, on the board or on a card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from maixpix import settings
from maixpix.commands.common import place, port_option
from maixpix.errors import UserError

KEY_VARIABLE = "MAIXPIX_WIFI_KEY"
TOKEN_VARIABLE = "MAIXPIX_TOKEN"


@click.command()
@port_option
@click.option("--card", "card_folder", type=click.Path(path_type=Path), help="A mounted card instead of the board.")
@click.option("--wifi", "networks", multiple=True, metavar="NAME", help="Add a network, tried first; its key is asked.")
@click.option("--open", "is_open", is_flag=True, help="The networks of --wifi have no key.")
@click.option("--key-file", type=click.File("r"), help="Read keys from a file (- is stdin), a line a network.")
@click.option("--forget", multiple=True, metavar="NAME", help="Remove a network.")
@click.option("--server", metavar="URL", help="Where `maixpix serve` runs, such as http://192.168.1.10:8000.")
@click.option("--app", metavar="NAME", help="App to start.")
@click.option("--picture", metavar="NAME|URL", help="Picture for the show app.")
@click.option("--upload", metavar="TARGET", help="Where pictures go.")
@click.option("--board", metavar="NAME", help="Board, for its pins and panel.")
@click.option("--rotation", type=int, help="Quarter turns of the panel, 0 to 3.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other setting.")
@click.option("--token", "ask_token", is_flag=True, help="Ask for the server's token.")
@click.option("--show", is_flag=True, help="Only show the settings, secrets masked.")
def setup(
    port: str | None,
    card_folder: Path | None,
    networks: tuple[str, ...],
    is_open: bool,
    key_file: Any,
    forget: tuple[str, ...],
    ask_token: bool,
    pairs: tuple[str, ...],
    show: bool,
    **plain: Any,
) -> None:
    """Write the board's settings (pix.json); asks when given no options.

    Present settings stay, unknown ones too. Keys of networks and the token are asked without echo, or read from
    --key-file, or from the environment (MAIXPIX_WIFI_KEY, MAIXPIX_TOKEN); never from the command line, where other
    programs could see them.

    \b
    Examples:
      maixpix setup
      maixpix setup --wifi Home --server http://192.168.1.10:8000 --app frame
      maixpix setup --card /media/SD --wifi Cafe --open
      maixpix setup --show
    """
    given = {name: str(value) for name, value in plain.items() if value is not None}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes KEY=VALUE, not {name}")
        given[name] = value
    changes = {name: settings.from_text(name, value) for name, value in given.items()}
    if networks:
        changes["wifi"] = [[name, key] for name, key in zip(networks, _keys(networks, is_open, key_file), strict=True)]
    if ask_token:
        changes["token"] = os.environ.get(TOKEN_VARIABLE) or click.prompt("Token of the server", hide_input=True)
    for name in changes:
        settings.check({name: changes[name]})
    with place(port, card_folder) as where:
        old = settings.read(where)
        if show:
            click.echo("\n".join(settings.mask(old)) or f"no settings on {where.name}")
            return
        if not changes and not forget:
            changes = ask(old)
        new = settings.merge(old, changes)
        if forget:
            new["wifi"] = [entry for entry in new.get("wifi", []) if entry[0] not in forget]
        for name in settings.check(new):
            click.echo(f"note: {name} is unknown to this version and kept", err=True)
        settings.write(where, new)
        click.echo(f"settings on {where.name}:")
        click.echo("\n".join("  " + line for line in settings.mask(new)))


def ask(old: dict[str, Any]) -> dict[str, Any]:
    """Ask for the settings that matter, present ones as defaults; keys are not echoed."""
    changes: dict[str, Any] = {}
    known = settings.keys()
    present = [entry[0] for entry in old.get("wifi", [])]
    name = click.prompt("Wi-Fi network (empty: leave as it is)", default="", show_default=False)
    if name:
        hint = "empty: keep the present one" if name in present else "empty: open network"
        key = click.prompt(f"Key of {name} ({hint})", default="", hide_input=True, show_default=False)
        if key or name not in present:
            settings.check_network(name, key)
            changes["wifi"] = [[name, key]]
    for setting, question in (
        ("server", "Server (http://...)"),
        ("app", "App"),
        ("picture", "Picture"),
        ("board", "Board"),
    ):
        if setting not in known:
            continue
        value = click.prompt(question, default=str(old.get(setting, known[setting][0])))
        changes[setting] = settings.from_text(setting, value)
    return changes


def _keys(networks: tuple[str, ...], is_open: bool, key_file: Any) -> list[str]:
    if is_open:
        return [""] * len(networks)
    if key_file is not None:
        lines = key_file.read().splitlines()
        if len(lines) < len(networks):
            raise UserError(f"{len(networks)} networks need as many lines of keys", "add lines to the key file")
        return lines[: len(networks)]
    if KEY_VARIABLE in os.environ and len(networks) == 1:
        return [os.environ[KEY_VARIABLE]]
    return [click.prompt(f"Key of {name}", hide_input=True) for name in networks]
