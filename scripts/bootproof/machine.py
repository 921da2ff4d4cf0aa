"""A machine of qemu's, spoken to over its serial console."""

import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bootproof.process import ProofError
from bootproof.root import CHECK, PASSWORD

FIRMWARE = Path("/usr/share/OVMF")
"""Where Debian's package ovmf has UEFI for qemu."""

TIME_LIMIT = 300.0
"""Seconds after which a machine is given up: under software emulation it needs a tenth."""

_CONTROL = re.compile(r"\x1b[\[(][0-9;?=]*[A-Za-z]|\r")
_FSTAB_CHECK = (
    "findmnt --fstab -rn -o TARGET | while read t; do "
    'findmnt -rn -o TARGET,FSTYPE "$t" || echo "not mounted: $t"; done'
)
_BEGIN, _END = "BEGIN-OF-PROOF", "END-OF-PROOF"


def uefi_words(directory: Path) -> tuple[str, ...]:
    """Options of qemu for a machine with UEFI; its variables are kept in `directory`.

    Raises:
        ProofError: ovmf is not installed.
    """
    variables = directory / "variables.fd"
    try:
        shutil.copyfile(FIRMWARE / "OVMF_VARS_4M.fd", variables)
    except FileNotFoundError as error:
        raise ProofError("no UEFI for qemu: install ovmf") from error
    flash = "if=pflash,format=raw,unit="
    code = FIRMWARE / "OVMF_CODE_4M.fd"
    return ("-drive", f"{flash}0,readonly=on,file={code}", "-drive", f"{flash}1,file={variables}")


class Machine:
    """One that boots an image, which stays as it is; ends with the block."""

    def __init__(self, image: Path, more: Sequence[str]) -> None:
        drive = f"file={image},format=raw,if=virtio,cache=unsafe,snapshot=on"
        # Hardware virtualization is not to be had everywhere, and is not needed.
        words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", "512", "-smp", "2"]
        words += ["-nographic", "-no-reboot", "-nic", "none", "-drive", drive, *more]
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own words, and no shell
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except FileNotFoundError as error:
            raise ProofError("no qemu-system-x86_64: install qemu-system-x86") from error
        self._said = ""
        self._deadline = time.monotonic() + TIME_LIMIT

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def check(self) -> list[str]:
        """Log in, and run the root's own program; what it says, the fstab and failed units.

        Raises:
            ProofError: the machine does not come so far.
        """
        self._answer("login: ", "root")
        self._answer("assword: ", PASSWORD)
        failed = "systemctl --failed --no-legend --plain"
        commands = f"sh {CHECK}; {_FSTAB_CHECK}; {failed}; wc -c </etc/machine-id"
        # What is typed is echoed; split in two, the words are not seen before they are printed.
        begin, end = (f'{word[:5]}""{word[5:]}' for word in (_BEGIN, _END))
        self._answer("# ", f"stty -echo; echo {begin}; {commands}; echo {end}; poweroff -f")
        self._wait_for(_END)
        said = self._said.partition(_BEGIN + "\n")[2]
        return said.partition("\n" + _END)[0].splitlines()

    def _answer(self, prompt: str, word: str) -> None:
        self._wait_for(prompt)
        self._said = ""
        if self._process.stdin is not None:
            self._process.stdin.write(word.encode() + b"\n")
            self._process.stdin.flush()

    def _wait_for(self, text: str) -> None:
        output = self._process.stdout
        with selectors.DefaultSelector() as selector:
            if output is not None:
                selector.register(output, selectors.EVENT_READ)
            while text not in self._said:
                rest = self._deadline - time.monotonic()
                if rest <= 0 or not selector.select(rest):
                    raise ProofError(f"expected {text!r} on the console, got {self._tail()}")
                chunk = os.read(output.fileno(), 65536) if output is not None else b""
                if not chunk:
                    raise ProofError(f"expected {text!r}, got the machine's end: {self._tail()}")
                self._said += _CONTROL.sub("", chunk.decode(errors="replace"))

    def _tail(self) -> str:
        lines = [line.strip() for line in self._said.splitlines() if line.strip()]
        return repr(" / ".join(lines[-3:])[-300:])
