"""`maixpix setup`: the board's settings, on the board or on a card."""

from __future__ import annotations

import getpass
import os
import warnings
from pathlib import Path
from typing import Any

import click

from maixpix import texts, ui
from maixpix.board import install, own, settings, update_keys
from maixpix.board.places import BoardPlace, Place
from maixpix.commands.common import place, port_option
from maixpix.errors import UserError
from maixpix.text import one_line

KEY_VARIABLE = "MAIXPIX_WIFI_KEY"
TOKEN_VARIABLE = "MAIXPIX_TOKEN"
PASSWORD_VARIABLE = "MAIXPIX_PASSWORD"
KEY_REMEDY = f"give --key-file FILE, or set {KEY_VARIABLE}"

KEY_FILE = click.Path(path_type=Path, allow_dash=True)

_QUESTIONS = (
    ("server", "Server (http://...)"),
    ("app", "App"),
    ("picture", "Picture"),
    ("board", "Board"),
    ("rotation", "Quarter turns of the panel"),
    ("baud", "Rate of the Wi-Fi module"),
)
_SENDING_APPS = ("snap", "send")


@click.command()
@port_option
@click.option("--card", "card_folder", type=click.Path(path_type=Path), help="A mounted card instead of the board.")
@click.option("--wifi", "networks", multiple=True, metavar="NAME", help="Add a network, tried first; its key is asked.")
@click.option("--open", "is_open", is_flag=True, help="The networks of --wifi have no key.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Read keys from a file (- is stdin), a line a network.",
)
@click.option("--forget", multiple=True, metavar="NAME", help="Remove a network.")
@click.option("--server", metavar="URL", help="Where `maixpix serve` runs, such as http://192.168.1.10:8000.")
@click.option("--app", metavar="NAME", help="App to start: one of ours, or any that is on the board.")
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
    key_file: Path | None,
    forget: tuple[str, ...],
    ask_token: bool,
    pairs: tuple[str, ...],
    show: bool,
    **plain: Any,
) -> None:
    """Write the board's settings (pix.json); asks when given no options.

    Present settings stay, unknown ones too. Keys of networks, the token and the password of an address with a user in
    it (http://USER@host/) are asked without echo, or read from --key-file, or from the environment (MAIXPIX_WIFI_KEY,
    MAIXPIX_TOKEN, MAIXPIX_PASSWORD); never from the command line, where other programs could see them.

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
    changes = {name: _complete(name, settings.from_text(name, value)) for name, value in given.items()}
    if networks:
        changes["wifi"] = [[name, key] for name, key in zip(networks, _keys(networks, is_open, key_file), strict=True)]
    if ask_token:
        changes["token"] = os.environ.get(TOKEN_VARIABLE) or ask_secret(
            "Token of the server", f"set it in {TOKEN_VARIABLE}"
        )
    settings.check(changes)
    if show:
        with place(port, card_folder) as where:
            _show(where)
        return
    if not changes and not forget:
        # People take their time: the board's app runs on meanwhile.
        with place(port, card_folder) as where:
            old = settings.read(where)
        changes = ask(old)
    with place(port, card_folder) as where:
        if "app" in changes:
            changes["app"] = own.resolve(where, install.versions(where)[0].files, changes["app"])
        old = settings.read(where)
        new = settings.merge(settings.forget(old, forget), changes)
        if new.get("update_key") and new.get("name") and new["name"] != old.get("name"):
            # The companion finds the secret by the name.
            ui.notes(filter(None, [update_keys.follow(new["name"], new["update_key"])]))
        ui.notes(f"{name} is unknown to this version and kept" for name in settings.check(new))
        ui.notes(settings.notes(new))
        settings.write(where, new)
        ui.out(f"settings on {where.name}:")
        ui.out("\n".join("  " + line for line in settings.mask(new)))
        _tell_others(where)


def ask(old: dict[str, Any]) -> dict[str, Any]:
    """Ask for the settings that matter, present ones as defaults; keys and passwords are not echoed."""
    changes: dict[str, Any] = {}
    networks = _ask_networks([entry[0] for entry in settings.networks(old)])
    if networks:
        changes["wifi"] = networks
    known = settings.keys()
    for setting, question in _QUESTIONS:
        _ask_one(setting, question, old, known, changes)
    if changes.get("app", old.get("app")) in _SENDING_APPS:
        _ask_one("upload", "Where pictures go (http://... or host:port)", old, known, changes)
    return changes


def _show(where: Place) -> None:
    """The settings at `where`, masked, and what the board will make of their file."""
    data = where.read(settings.FILE)
    values = {} if data is None else settings.parse(data, f"{settings.FILE} on {where.name}")
    ui.out("\n".join(settings.mask(values)) or f"no settings on {where.name}")
    if data is not None:
        try:
            settings.check(settings.parse_as_board(data, settings.FILE))
        except UserError as error:
            ui.note(error.line)
    _tell_others(where)


def _ask_networks(present: list[str]) -> list[list[str]]:
    """New networks and new keys in the order of trying, until an empty name."""
    found: list[list[str]] = []
    question = "Wi-Fi network (empty: leave as it is)"
    while name := click.prompt(question, default="", show_default=False):
        kept = name in present
        hint = "empty: keep the present one" if kept else "empty: open network"
        key = ask_secret(f"Key of {name} ({hint})", KEY_REMEDY, optional=True)
        if key or not kept:
            settings.check_network(name, key)
            found = [entry for entry in found if entry[0] != name] + [[name, key]]
        question = "Another one, tried next (empty: no more)"
    return found


def _ask_one(
    setting: str, question: str, old: dict[str, Any], known: dict[str, tuple[Any, Any]], changes: dict[str, Any]
) -> None:
    present = old.get(setting, known[setting][0])
    shown = one_line(settings.hide_login(str(present)))  # it is the board's file: anybody may have written it
    value = click.prompt(
        question, default=shown, value_proc=lambda answer: present if answer == shown else _usable(setting, answer)
    )
    value = _complete(setting, value) if value != present else value
    if value != present or setting not in old:
        changes[setting] = value


def _usable(setting: str, answer: str) -> Any:
    """The value that `answer` means; one that cannot be is told, and asked again."""
    try:
        return settings.from_text(setting, answer)
    except UserError as error:
        raise click.UsageError(error.line) from None


def _complete(name: str, value: Any) -> Any:
    """`value` with its password, which is asked for when an address names a user only."""
    found = settings.login(value) if isinstance(value, str) else None
    if found is None or not found[0]:
        return value
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        password = ask_secret(
            f"Password of {found[0]} for {name} (empty: none)", f"set it in {PASSWORD_VARIABLE}", optional=True
        )
    return settings.with_password(value, password) if password else value


def _tell_others(where: Place) -> None:
    """Say when the board has settings elsewhere too: it takes the flash's, then the card's over them."""
    if not isinstance(where, BoardPlace) or where.flat:
        return
    try:
        others = settings.read(BoardPlace(where.link, "/flash"))
    except UserError as error:
        ui.note(error.line)
        return
    if others:
        ui.note(f"the flash has settings too, used where the card says nothing: {', '.join(others)}")


def _keys(networks: tuple[str, ...], is_open: bool, key_file: Path | None) -> list[str]:
    if is_open:
        return [""] * len(networks)
    if key_file is not None:
        return _keys_of(key_file, len(networks))
    if KEY_VARIABLE in os.environ and len(networks) == 1:
        return [os.environ[KEY_VARIABLE]]
    return [ask_secret(f"Key of {name}", KEY_REMEDY) for name in networks]


def _keys_of(file: Path, count: int) -> list[str]:
    """`count` keys from `file`, one a line; quotes and blanks around a key are no part of it, and told."""
    keys, quoted = texts.entries(texts.read(file, "key file", "name a text file with one key a line"))
    if len(keys) != count:
        raise UserError(
            f"the key file has {len(keys)} key{'s' * (len(keys) != 1)} for {count} network{'s' * (count != 1)}",
            "give it one line for each network",
        )
    ui.notes(
        f"key {number}: the quotes around it are left out; if it has some, type it when asked" for number in quoted
    )
    return keys


def ask_secret(question: str, remedy: str, optional: bool = False) -> str:
    """What is typed, unseen, as the answer to `question`.

    Raises UserError with `remedy` where there is no terminal on which typing could be hidden.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            if optional:
                return click.prompt(question, default="", hide_input=True, show_default=False)
            return click.prompt(question, hide_input=True)
        except getpass.GetPassWarning:
            raise UserError(f"there is no terminal to ask: {question}", remedy) from None
