"""Programs that the proofs run."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class ProofError(Exception):
    """A proof does not hold, or cannot be made; the message is one line."""


def run(
    argv: Sequence[str | Path],
    *,
    data: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program that must succeed; what it printed.

    Raises:
        ProofError: it is not installed, or failed; with the last line of its errors.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(  # noqa: S603  our own words, and no shell
            words, input=data, capture_output=True, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise ProofError(f"{words[0]}: not installed") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "no message"
        raise ProofError(f"{' '.join(words[:4])}: exit status {done.returncode}: {reason}")
    return done.stdout
