"""Our command line, run in the tests' own process: ten times as fast as in one of its own.

For tests of what a command does to S3 and says; how a process starts and dies is tested with
real ones (tools.run_cli, tools.start_cli).
"""

import gc
import io
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from bundler.cli.main import main
from tests.support.tools import Outcome, cli_environment


def run_here(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run our command line with this environment alone; pytest has no terminal for it."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    errors = io.StringIO()
    code: object = None
    with (
        _own_world(environment or cli_environment()),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    gc.collect()  # so that what a command has left open is complained of in its own test
    buffer = output.detach()
    assert isinstance(buffer, io.BytesIO)
    return Outcome(code=code, output=buffer.getvalue(), errors=errors.getvalue())


@contextmanager
def _own_world(environment: Mapping[str, str]) -> Iterator[None]:
    """Give back what main() changes in its process."""
    variables = dict(os.environ)
    signals = (signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in signals]
    logger = logging.getLogger("bundler")
    logged = (list(logger.handlers), logger.propagate, logger.level)
    os.environ.clear()
    os.environ.update(environment)
    # The server of the test is in this process, too: where a command is the first to ask a
    # region of it, moto would make 1301 stock images there, all of them the caller's own.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)
        logger.handlers[:], logger.propagate = logged[0], logged[1]
        logger.setLevel(logged[2])
