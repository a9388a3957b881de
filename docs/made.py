"""Makes the reference pages of docs/ from the source: `make reference`, or `python docs/made.py`.

settings.md from `KEYS` of firmware/pix/config.py, errors.md from `TABLE` of errors.py, api.md from the signatures and
first comments of everything public in `pix`, faults.md from the tables of virtualboard/faults.py, commands.md from the
help texts, environment.md from docs/texts.toml. What the source has no words for is in that file. A test compares.

The tables of README.md between `<!-- figures: NAME -->` and `<!-- end of figures -->` from docs/figures.json, which
`python -m benchmarks.figures --write` measures.
"""

from __future__ import annotations

import ast
import datetime
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from maixpix.board import device_code
from maixpix.commands import TABLE
from virtualboard.faults import ACTIONS, TRIGGERS, WIRE_ACTIONS

DOCS = Path(__file__).resolve().parent
README = DOCS.parent / "README.md"
PIX = DOCS.parent / "firmware" / "pix"
COMMAND = "make reference"

_MADE = f"<!-- made by docs/made.py from the source: change it there, then run `{COMMAND}` -->\n"
NO_TEXT = "(docs/texts.toml has no text for it)"


def texts() -> dict[str, dict[str, str]]:
    """The sentences of docs/texts.toml."""
    return tomllib.loads((DOCS / "texts.toml").read_text("utf-8"))


def pages() -> dict[str, str]:
    """All made pages, by file name."""
    return {
        "settings.md": settings(),
        "errors.md": errors(),
        "api.md": api(),
        "faults.md": faults(),
        "commands.md": commands(),
        "environment.md": environment(),
    }


# -- settings ---------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting with its default, what it may be, and what it does."""
    said = texts()["settings"]
    rows = []
    for name, (default, kind) in sorted(device_code.load("config").KEYS.items()):
        shown = "empty" if default in ("", []) else f"`{default}`"
        rows.append(f"| `{name}` | {shown} | {_kind(kind)} | {said.get(name, NO_TEXT)} |")
    return _page(
        "Settings",
        "The file `pix.json` of the card, written by `maixpix setup` (or by hand: it is JSON). A board takes the "
        "flash's, then the card's over them; a setting that it does not know is told and ignored. Any of them: "
        '`maixpix setup --set KEY=VALUE`. In a program: `config.load()`, or `config.Settings(wifi=[["home", '
        '"key"]])` without a file.\n\n'
        "| setting | default | may be | what it does |\n| --- | --- | --- | --- |\n" + "\n".join(rows),
    )


def _kind(kind: Any) -> str:
    if isinstance(kind, str):
        words = {"networks": "a list of `[name, key]` pairs", "secret": "a text, never shown", "text": "a text"}
        return words.get(kind, f"a text: {kind}")
    if isinstance(kind[0], int):
        return f"{kind[0]} to {kind[1]}"
    return ", ".join(f"`{choice}`" for choice in kind)


# -- errors -----------------------------------------------------------------------------------------------------------


def errors() -> str:
    """Every error with its code, cause and remedy."""
    module = device_code.load("errors")
    rows = []
    for record in module.TABLE.strip().split("\n\n"):
        code = record.split("\n")[0]
        one = module.PixError(code) if not code.startswith("http-") else None
        lines = record.split("\n")
        cause = lines[2] if one is None else one.cause
        remedy = lines[3] if one is None else one.remedy
        again = "yes" if len(lines) > 4 else ""
        rows.append(f'| <a id="{code}"></a>`{code}` | {lines[1]} | {cause} | {remedy} | {again} |')
    return _page(
        "Errors",
        "What the panel's cards, the console and `maixpix logs` say. The code comes first on the console "
        '(`error no-card: ...`) and stands at the bottom of a card. Where "passes" says yes the same may work a '
        "moment later: it is tried again by itself. A program catches them as `pix.errors.PixError`, whose `code` is "
        "the first column; `http-404` and the like are any status.\n\n"
        "| code | title | cause | remedy | passes |\n| --- | --- | --- | --- | --- |\n" + "\n".join(rows),
    )


# -- api --------------------------------------------------------------------------------------------------------------


def api() -> str:
    """Every public name of `pix` with its signature and what the source says of it."""
    parts = []
    for path in sorted(PIX.glob("*.py")):
        name = "pix" if path.stem == "__init__" else f"pix.{path.stem}"
        source = path.read_text("utf-8")
        tree = ast.parse(source)
        lines = source.splitlines()
        entries = list(_entries(tree, lines, name))
        parts.append("\n\n".join([f"## {name}", _said(lines, 0, ""), *entries]))
    return _page(
        "The device API",
        "The package `pix` as it is on the board. Start with [Your own programs](own-apps.md): most need `config`, "
        "`wifi`, `fetch`, `screen`, perhaps `camera` and `upload`. Names are those of `from pix import wifi`. Errors "
        "are `PixError` with a code of [the table](errors.md) unless it says otherwise. Times are in milliseconds "
        "where a name ends with `_ms`.\n\n" + "\n\n".join(parts),
    )


def public_names() -> list[str]:
    """`pix.module.name` of every public function, class and method."""
    return re.findall(r"^#{3,4} `(pix[\w.]*)", api(), re.MULTILINE)


def _entries(tree: ast.Module, lines: list[str], module: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield _entry("###", f"{module}.{node.name}", node, lines)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            made = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
            signature = f"({_arguments(made)})" if made is not None else "()"
            yield f"### `{module}.{node.name}{signature}`\n\n{_said(lines, node.lineno, '    ')}".rstrip()
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield _entry("####", f"{module}.{node.name}.{method.name}", method, lines)


def _entry(level: str, name: str, node: ast.FunctionDef, lines: list[str]) -> str:
    is_property = any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)
    signature = "" if is_property else f"({_arguments(node)})"
    first = node.body[0].lineno - 1
    said = _said(lines, _end_of_signature(node, lines), " " * (node.col_offset + 4), first)
    return f"{level} `{name}{signature}`\n\n{said}".rstrip()


def _arguments(node: ast.FunctionDef) -> str:
    arguments = ast.unparse(node.args)
    return re.sub(r"^self(, )?", "", arguments)


def _end_of_signature(node: ast.FunctionDef, lines: list[str]) -> int:
    at = node.lineno
    while not re.sub(r"  # .*$", "", lines[at - 1]).rstrip().endswith(":"):
        at += 1
    return at


def _said(lines: list[str], at: int, indent: str, end: int | None = None) -> str:
    """The comment lines from index `at` on, as Markdown; what is indented in them is kept as it is."""
    found = []
    for line in lines[at:end]:
        if not line.startswith(indent + "#"):
            break
        found.append(line[len(indent) + 1 :].removeprefix(" "))
    return "\n".join(f"    {line}".rstrip() for line in found)


# -- faults -----------------------------------------------------------------------------------------------------------


def faults() -> str:
    """The whole vocabulary of a fault plan."""
    said = texts()["faults"]
    triggers = "\n".join(
        "| " + " with ".join(f"`{name}`" for name in sorted(keys, reverse="chance" not in keys)) + " | "
        + "; ".join(f"`{name}`: {kind}" for name, kind in sorted(options.items())) + " |"
        for keys, options in TRIGGERS.items()
    )  # fmt: skip
    rows = [_fault(name, options, said, "bytes") for name, options in WIRE_ACTIONS.items()]
    rows += [_fault(name, options, said, "parts") for name, (_, options) in ACTIONS.items()]
    return _page(
        "Fault plans",
        "What goes wrong on a virtual board, when, as data: a JSON list for `maixpix board --faults plan.json` and "
        "`maixpix demo --faults`, `faults=[...]` for [the bench](bench.md). The same plan, seed and peers give the "
        "same run. A mistake in a plan is told before the board is built.\n\n"
        "```json\n"
        '[{"when": {"lane": "to_chip", "byte": 8191}, "do": "drop", "count": 2},\n'
        ' {"when": {"lane": "to_chip", "chance": 1e-5}, "do": "flip"},\n'
        ' {"when": {"ms": 1500}, "do": "lose-wifi", "for_ms": 4000},\n'
        ' {"when": {"command": "AT+CIPSEND", "nth": 2}, "do": "reset-modem"}]\n'
        "```\n\n## When\n\n"
        "`ms` counts the board's milliseconds since power-on; `byte` the bytes of a lane from 0 on; `chance` is that "
        "of every byte, for faults of bytes only; `command` an AT command that begins so, the `nth` time.\n\n"
        "| when | may be |\n| --- | --- |\n" + triggers + "\n\n## Do\n\n"
        "| do | to | options | what happens |\n| --- | --- | --- | --- |\n" + "\n".join(rows),
    )


def _fault(name: str, options: Any, said: dict[str, str], kind: str) -> str:
    told = "; ".join(f"`{key}`{' (needed)' if each.required else ''}: {each}" for key, each in options.items())
    return f"| `{name}` | {kind} | {told} | {said.get(name, NO_TEXT)} |"


# -- commands and environment -----------------------------------------------------------------------------------------


def commands() -> str:
    """Every command as its --help has it."""
    parts = []
    for name, entry in TABLE.items():
        parts += _command(entry.load(), f"maixpix {name}", None)
    return _page(
        "Commands",
        "Every command has `--help`; this is what it says. Errors are one line with cause and remedy. Exit codes: "
        "0 done, 1 a failure, 2 wrong usage, 130 stopped by Ctrl-C. `maixpix --version` tells the version. Defaults of "
        "options come from [the file maixpix.toml and the environment](environment.md).\n\n" + "\n\n".join(parts),
    )


_HELP = re.compile(r"^  (?:-h, )?--help +(?=Show)", re.MULTILINE)


def _help_line(found: re.Match[str]) -> str:
    """The option as the group `maixpix` has it: a command keeps the names that its first context gave it."""
    return "  -h, --help".ljust(max(len(found[0]), 14))


def _command(command: click.Command, name: str, parent: click.Context | None) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    text = _HELP.sub(_help_line, command.get_help(context).replace("\b\n", ""))
    parts = [f"{'##' if parent is None else '###'} {name}\n\n```text\n{text.strip()}\n```"]
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None:
                parts += _command(found, each, context)
    return parts


def environment() -> str:
    """The environment variables, and the file with defaults."""
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in sorted(texts()["environment"].items()))
    return _page(
        "Environment, maixpix.toml, completion",
        "What is given on the command line wins over the environment, that over the file.\n\n"
        "## Environment variables\n\n| variable | what it does |\n| --- | --- |\n" + rows + "\n\n"
        "## maixpix.toml\n\n"
        "A file in the current folder (or the one that `MAIXPIX_CONFIG` names) holds defaults: `port` and `board` for "
        "every command that has them, and for each command a table of its options, written as on the command line "
        "without the dashes. What is in no command is told.\n\n"
        "```toml\n"
        'port = "/dev/ttyUSB0"          # the board\n'
        'board = "dock"                 # its kind, for flash and doctor\n\n'
        '[serve]\nhost = "0.0.0.0"\nport = 8080\nmax-file = "8M"\n\n'
        '[commands.board]\nat = "1.7.4"\nweb = 8081\n'
        "```\n\n"
        "Since a table and a value cannot share a name, the options of the command `board` stand under "
        "`[commands.board]`; every command may.\n\n"
        "## Shell completion\n\n"
        "```sh\n"
        'eval "$(_MAIXPIX_COMPLETE=bash_source maixpix)"     # into ~/.bashrc\n'
        'eval "$(_MAIXPIX_COMPLETE=zsh_source maixpix)"      # into ~/.zshrc\n'
        "_MAIXPIX_COMPLETE=fish_source maixpix | source      # into ~/.config/fish/config.fish\n"
        "```",
    )


# -- figures ----------------------------------------------------------------------------------------------------------

_FIGURES = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)

_FETCH_ROWS = {
    ("stock", "1.1"): "MaixPy's stock driver, AT 1.1",
    ("pix", "1.1"): "`pix`, AT 1.1 (active receive)",
    ("pix", "1.7.4"): "`pix`, AT 1.7.4 (active receive)",
    ("pix passive", "1.7.4"): "`pix`, AT 1.7.4 (passive receive, where the ring does not do)",
}
_UPLOAD_ROWS = {
    "stock driver": "MaixPy's stock driver (modelled)",
    "tcp CIPSEND": "`pix`, CIPSEND, plain TCP",
    "tus CIPSEND": "`pix`, CIPSEND, tus",
    "tus CIPSENDBUF": "`pix`, CIPSENDBUF, tus",
    "tus CIPSENDBUF, first read": "`pix`, CIPSENDBUF, tus, a file of the card that is read for its digest first",
    "tus CIPSENDBUF, companion": "`pix`, CIPSENDBUF, tus, to `maixpix serve`",
}
_UNPROVEN = ("stock driver", "tcp CIPSEND")


def readme(text: str, figures: dict[str, Any]) -> str:
    """README.md with its tables as `figures` (docs/figures.json) has them."""
    tables = {"fetch": _fetch_table, "upload": _upload_table}

    def made(found: re.Match[str]) -> str:
        return found[1] + tables[found[2]](figures[found[2]]) + found[3]

    return _FIGURES.sub(made, text)


def figures() -> dict[str, Any]:
    """docs/figures.json."""
    kept: dict[str, Any] = json.loads((DOCS / "figures.json").read_text("utf-8"))
    return kept


def _fetch_table(told: dict[str, Any]) -> str:
    rates = [str(rate) if rate < 1_000_000 else f"{rate // 1_000_000} M" for rate in told["rates"]]
    rows = []
    for row in told["rows"]:
        cells = ["file damaged" if share is None else f"{share:.1%}" for share in row["shares"]]
        cells += ["not tried"] * (len(rates) - len(cells))
        rows.append([_FETCH_ROWS[row["who"], row["at"]], *cells])
    return _table(["share of the line rate", *rates], rows) + _measured(told)


def _upload_table(told: dict[str, Any]) -> str:
    by_name = {row["what"]: row for row in told["rows"]}
    rows = []
    for name, title in _UPLOAD_ROWS.items():
        row = by_name[name]
        bound = "-" if row["bound"] is None else f"{row['bound']:.1%}"
        unproven = ", no proof" if name in _UNPROVEN else ""
        rows.append([title, f"{row['payload']:.1%}", bound, f"{row['whole']:.1%}{unproven}"])
    head = ["share of the line rate", "first byte to last acknowledgement", "bound", "connect to proof"]
    return _table(head, rows) + _measured(told)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]) + "\n\n"


def _measured(told: dict[str, Any]) -> str:
    day = datetime.date.fromisoformat(told["date"])
    image = told.get("firmware")
    how = f" on the emulated chip, {image}" if image else " on the hosted engine"
    return f"Measured on {day.day} {_MONTHS[day.month - 1]} {day.year}{how}; medians of {told['rounds']}.\n"


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def _page(title: str, body: str) -> str:
    return f"{_MADE}\n# {title}\n\n{body}\n"


def main() -> None:
    """Write every page, and the tables of README.md."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")
    README.write_text(readme(README.read_text("utf-8"), figures()), "utf-8")


if __name__ == "__main__":
    main()
