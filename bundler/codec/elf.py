"""What machine a program is for, by its ELF header."""

from bundler.model.image import Architecture

ELF_HEADER_SIZE = 20
"""Bytes that elf_architecture() wants to see."""

_MACHINES = {3: Architecture.I386, 62: Architecture.X86_64, 183: Architecture.ARM64}
# Source: System V ABI, e_machine: EM_386, EM_X86_64, EM_AARCH64.


def elf_architecture(header: bytes) -> Architecture | None:
    """The architecture in the first bytes of a program; None for all that AMIs do not run."""
    if len(header) < ELF_HEADER_SIZE or not header.startswith(b"\x7fELF") or header[5] != 1:
        return None
    return _MACHINES.get(int.from_bytes(header[18:20], "little"))
