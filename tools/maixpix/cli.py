"""The `maixpix` command: verbs from `maixpix.commands`, one place where errors become one line and an exit code.

Exit codes: 0 done, 1 a failure (told in one line with its remedy), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import gc
import os
import sys
from types import TracebackType

import click

from maixpix import defaults, output
from maixpix.commands import TABLE
from maixpix.errors import UserError


class _Commands(click.Group):
    """The group of `TABLE`'s commands: the help text costs none of their imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in TABLE:
            return None
        command = TABLE[cmd_name].load()
        if not ctx.resilient_parsing:
            ctx.default_map = {cmd_name: defaults.of(command, cmd_name, defaults.read(), TABLE)}
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in TABLE.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="maixpix", prog_name="maixpix")
def cli() -> None:
    """Pictures to and from Kendryte K210 boards (Sipeed Maix with MaixPy).

    \b
    See it work without a board:   maixpix demo
    A new board, in this order:    maixpix flash, maixpix setup, maixpix deploy
    Every day:                     maixpix serve FOLDER
    Something is wrong:            maixpix doctor

    Every command has its own --help. MAIXPIX_DEBUG=1 shows tracebacks; a file maixpix.toml gives defaults.
    """


def main() -> None:
    """Run the command line; never returns."""
    sys.excepthook = tell_failure
    code = run(sys.argv[1:], own_process=True)
    gc.freeze()  # Python's last act would be to look through all that was ever loaded, three times
    sys.exit(code)


def tell_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A failure of our own, whole, as Python tells it; but names and answers from elsewhere are in it, too."""
    import traceback

    output.err("".join(traceback.format_exception(kind, error, trace)), end="")


def run(args: list[str], own_process: bool = False) -> int:
    """Run the command line with `args`; returns the exit code.

    `own_process`, which commands get as click's `obj`: nothing comes after it, so that a command may give up rights of
    the process for good.
    """
    try:
        code = cli.main(args, prog_name="maixpix", standalone_mode=False, obj=own_process)
    except click.exceptions.Abort:
        output.err("maixpix: stopped")
        return 130
    except KeyboardInterrupt:
        output.err("maixpix: stopped")
        return 130
    except click.ClickException as error:
        usage = error.ctx.get_usage() + "\n" if isinstance(error, click.UsageError) and error.ctx else ""
        output.err(f"{usage}Error: {error.format_message()}")
        return error.exit_code
    except BrokenPipeError:
        # The reader (head, less) has gone; that is no failure, and the final flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        if os.environ.get("MAIXPIX_DEBUG"):
            raise
        output.err(error.told)
        return error.exit_code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
