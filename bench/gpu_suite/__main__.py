"""``python -m gpu_suite``: measure this GPU, write one JSON and one table beside it."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from gi_edge.errors import GiEdgeError
from gi_edge.files import write_atomic
from gpu_suite.options import Options, options_from_given, parser
from gpu_suite.suite import Suite, check_device
from gpu_suite.table import text_from_suite
from gpu_suite.values import SuiteResult, file_name_of, write_suite

_RESULTS = Path(__file__).resolve().parents[1] / "results"


def measure(options: Options, root: Path, output: Path | None) -> Path:
    """Run the suite in the folder root and return the result's file, by default one named after the device."""
    root.mkdir(parents=True, exist_ok=True)

    def file_of(result: SuiteResult) -> Path:
        return output or _RESULTS / file_name_of(result.device)

    suite = Suite(root.resolve(), options, lambda result: write_suite(file_of(result), result))
    result = suite.run()
    path = file_of(result)
    write_suite(path, result)
    text = text_from_suite(result)
    write_atomic(path.with_suffix(".md"), text)
    sys.stdout.write(text)
    return path


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Let a kill end the running commands too, as Ctrl-C does: they would keep the GPU busy."""
    raise KeyboardInterrupt


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. Rows that did not run are no error of the suite."""
    given = vars(parser().parse_args(words))
    try:
        options = options_from_given(given)
        check_device(options)
        if given["workspace"] is not None:
            path = measure(options, given["workspace"], given["output"])
        else:
            with tempfile.TemporaryDirectory() as folder:
                path = measure(options, Path(folder), given["output"])
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; rows measured before are in the result file. To mend: the same command\n")
        return 1
    except GiEdgeError as error:
        sys.stderr.write(f"error: {error.message}. To mend: {error.fix}\n")
        return error.exit_code
    sys.stderr.write(f"wrote {path} and {path.with_suffix('.md').name}\n")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
