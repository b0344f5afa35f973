"""The gi-edge command. Verbs are imported when they are called, so that --help answers at once."""

from __future__ import annotations

import importlib
import os
import shlex
import sys

import click

from gi_edge.errors import GiEdgeError, ResumableInterrupt

_VERBS = {
    "init": "Write gi-edge.toml: which datasets there are, and where.",
    "demo": "Train, export and bench on generated frames, with no network.",
    "data": "Check, split and audit datasets before anything is trained.",
    "train": "Fit an adapter: by LoRA, in full or by the last layer.",
    "evaluate": "Score an adapter or a bundle, with intervals and baselines.",
    "compare": "Put adapters beside one another, with paired differences.",
    "export": "Merge an adapter and write a bundle of checked ONNX models.",
    "engine": "Build TensorRT engines from a bundle, on the device.",
    "verify": "Check that a bundle is whole and says what it holds.",
    "bench": "Prove that bundles answer as the trained model did, then time them.",
    "predict": "Classify images with a bundle.",
    "report": "Render a bench result as a page.",
    "doctor": "Say what this machine can do, and which runtime truly runs.",
}


class _Verbs(click.Group):
    """A group whose verbs live in modules of their name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(f"gi_edge.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib import metadata

        click.echo(f"gi-edge {metadata.version('gi-edge')}")
        ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Endoscopy images to a verified engine on an edge device.

    Results go to stdout, messages to stderr. Exit codes: 0 done, 1 an error with its mend, 2 usage, 3 a gate
    said no.
    """


def main() -> None:
    """Run the command line; known errors become one line on stderr and an exit code."""
    try:
        cli(standalone_mode=False)
    except GiEdgeError as error:
        click.echo(f"error: {error.message}. To mend: {error.fix}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stop:
        # click turns Ctrl-C into an Abort whose cause it is
        kept = isinstance(stop.__cause__, ResumableInterrupt) and "--resume" not in sys.argv
        resume = ["--resume"] if kept else []
        # under torchrun the command begins with words that this process does not know
        begin = ["the same command:", "…", "-m", "gi_edge"] if "WORLD_SIZE" in os.environ else ["gi-edge"]
        again = " ".join([*begin, shlex.join([*sys.argv[1:], *resume])])
        click.echo(f"\nerror: interrupted; nothing was half-written. To mend: {again}", err=True)
        sys.exit(1)
