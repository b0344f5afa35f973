"""gi-edge doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gi_edge.cli.options import finite

if TYPE_CHECKING:
    from rich.table import Table

    from gi_edge.runtime.doctor import Diagnosis

_STYLES = {"runs": "green", "fails": "bold red", "no gpu": "yellow", "not installed": "dim"}


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    callback=finite,
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long one runtime may take; TensorRT builds an engine for it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead of the tables.")
def command(timeout: float, as_json: bool) -> None:
    """Say what this machine can do: board, driver, GPUs, and which runtime truly runs.

    Each runtime that is installed computes a small graph with a known answer, in a process of its own, so that a crash
    or a hang is told. Versions known not to go together are named with their source. Exit code 1 if nothing runs.
    """
    from gi_edge.cli.console import ConsoleProgress, print_table, print_text
    from gi_edge.errors import RuntimeUnavailableError
    from gi_edge.runtime.doctor import diagnose

    progress = ConsoleProgress()
    found = diagnose(timeout, progress)
    if as_json:
        print_text(found.model_dump_json(indent=2))
    else:
        print_table(_machine_table(found))
        print_table(_runtime_table(found))
        print_text(_faults_text(found))
    if not found.can_bench:
        raise RuntimeUnavailableError("no runtime of this machine can run a model", fix=found.next_command)
    progress.say(f"next: {found.next_command}")


def _machine_table(found: Diagnosis) -> Table:
    from rich.table import Table
    from rich.text import Text

    machine, driver = found.machine, found.driver
    release = f", L4T {machine.l4t}" if machine.l4t else ""
    rows = {
        "system": f"{machine.system}, {machine.architecture}",
        "board": (machine.board or "") + release,
        "processor": f"{machine.cpu}, {machine.logical_cpus} logical CPUs",
        "python": machine.python,
        "driver": driver.fault or f"{driver.version or 'of unknown version'}, serves CUDA up to {driver.cuda}",
    }
    for index, gpu in enumerate(driver.devices):
        memory = f", {gpu.memory_bytes / 2**30:.1f} GiB" if gpu.memory_bytes else ""
        size = f", {gpu.multiprocessors} multiprocessors" if gpu.multiprocessors else ""
        rows[f"gpu {index}"] = f"{gpu.name}, compute capability {gpu.compute_capability}{size}{memory}"
    rows["packages"] = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(Text(name), Text(value))
    return table


def _runtime_table(found: Diagnosis) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Runtime", "Version", "Says"):
        table.add_column(name, no_wrap=True)
    table.add_column("Found", overflow="fold")
    for runtime in found.runtimes:
        says = Text(runtime.status, style=_STYLES[runtime.status])
        table.add_row(Text(runtime.name), Text(runtime.version or ""), says, Text(runtime.detail))
    return table


def _faults_text(found: Diagnosis) -> str:
    if not found.faults:
        return "No versions here are known not to go together."
    lines = []
    for fault in found.faults:
        lines += [f"Known: {fault.text}", f"  To mend: {fault.fix}", f"  Source: {fault.source}"]
    return "\n".join(lines)
