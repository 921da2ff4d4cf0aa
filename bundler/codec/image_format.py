"""Forms in which a disk comes that are no raw image, told by their first bytes."""

FORMAT_SIZE = 512
"""Bytes that image_format() wants to see."""

_MAGICS = (
    (b"QFI\xfb", "qcow2"),
    (b"KDMV", "VMDK"),
    (b"# Disk DescriptorFile", "VMDK"),
    (b"conectix", "VHD"),
    (b"vhdxfile", "VHDX"),
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
)
# Source: the formats' own documents.

_TAR_OFFSET = 257


def image_format(start: bytes) -> str:
    """What a file is that begins so, such as "qcow2"; empty: nothing that is known."""
    for magic, name in _MAGICS:
        if start.startswith(magic):
            return name
    return "tar" if start[_TAR_OFFSET : _TAR_OFFSET + 5] == b"ustar" else ""
