"""The outermost layers of DER, as far as keys are told from certificates.  Source: X.690."""

SEQUENCE = 0x30
INTEGER = 0x02
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06

_MAX_LENGTH_SIZE = 4


def read_element(data: bytes, offset: int) -> tuple[int, int, int] | None:
    """Tag, and where the content of an element begins and ends; None where there is none."""
    if offset + 2 > len(data):
        return None
    tag, length = data[offset], data[offset + 1]
    begin = offset + 2
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= _MAX_LENGTH_SIZE or begin + size > len(data):
            return None
        length = int.from_bytes(data[begin : begin + size], "big")
        begin += size
    return tag, begin, begin + length


def is_whole_sequence(data: bytes) -> bool:
    """Whether the bytes are one sequence and nothing else."""
    outer = read_element(data, 0)
    return outer is not None and outer[0] == SEQUENCE and outer[2] == len(data)


def read_members(data: bytes, *, limit: int) -> list[tuple[int, bytes]] | None:
    """Tags and contents of the first members of the sequence that is all of the bytes."""
    if not is_whole_sequence(data):
        return None
    outer = read_element(data, 0)
    offset = outer[1] if outer is not None else 0
    members = list[tuple[int, bytes]]()
    while offset < len(data) and len(members) < limit:
        element = read_element(data, offset)
        if element is None or element[2] > len(data):
            return None
        members.append((element[0], data[element[1] : element[2]]))
        offset = element[2]
    return members
