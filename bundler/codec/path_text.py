r"""Paths of a volume as text that breaks no line, moves no cursor, and can be read back."""


def show_path(path: bytes) -> str:
    r"""A relative path with a slash in front; what is not printable UTF-8 as \xNN, bytes in hex.

    A backslash is written so, too: each \xNN stands for one byte, and nothing else does.
    """
    text = "/" + path.decode(errors="surrogateescape")
    return "".join(
        character if character.isprintable() and character != "\\" else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
