import re
from pathlib import Path

import pytest

from bundler.host.root_image import BLOCK_SIZE, Source, build_root_image, default_sources
from bundler.model.bundle import MIB
from tests.support.tools import require_tool, use_tool

FILES = {
    "program": (b"\x7fELF" * 5000, 0o755),
    "sub/text": (b"text\n" * 3000, 0o644),
    "sub/secret": (b"secret", 0o600),
    "site-packages/private": (b"private", 0o644),
    "zzz": (bytes(40 * BLOCK_SIZE), 0o644),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tool("mke2fs")
    top = tmp_path_factory.mktemp("source")
    for name, (content, mode) in FILES.items():
        path = top / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    (top / "link").symlink_to("/nowhere")
    (top / "sub/back").symlink_to("..")
    done: list[int] = []
    output = tmp_path_factory.mktemp("image") / "root img"
    source = Source(path=top, target="usr/bin", budget=28 * BLOCK_SIZE)
    build_root_image(output, (source,), done.append)
    assert sum(done) == (5 + 4 + 1 + 1) * BLOCK_SIZE
    assert [path.name for path in output.parent.iterdir()] == ["root img"]
    return output


def debugfs(image: Path, command: str) -> str:
    return use_tool("debugfs", "-R", command, image).decode()


def test_the_file_system_holds(image: Path) -> None:
    use_tool("e2fsck", "-fn", image)


def test_what_is_not_used_is_a_hole(image: Path) -> None:
    state = image.stat()
    assert state.st_size % (64 * MIB) == 0
    assert state.st_blocks * 512 < 4 * MIB


@pytest.mark.parametrize(("name", "mode"), [("program", "0755"), ("sub/text", "0644")])
def test_files_keep_content_and_mode(image: Path, name: str, mode: str) -> None:
    assert use_tool("debugfs", "-R", f"cat /usr/bin/{name}", image) == FILES[name][0]
    assert re.search(rf"Mode: +{mode}", debugfs(image, f"stat /usr/bin/{name}"))


@pytest.mark.parametrize(("name", "target"), [("link", "/nowhere"), ("sub/back", "..")])
def test_links_stay_links(image: Path, name: str, target: str) -> None:
    assert f'Fast link dest: "{target}"' in debugfs(image, f"stat /usr/bin/{name}")


@pytest.mark.parametrize("name", ["sub/secret", "site-packages", "zzz"])
def test_what_is_not_public_or_too_much_stays_out(image: Path, name: str) -> None:
    assert debugfs(image, f"cat /usr/bin/{name}") == ""


def test_it_looks_like_a_root(image: Path) -> None:
    assert "ext4" in debugfs(image, "cat /etc/fstab")
    assert re.search(r"Mode: +01777", debugfs(image, "stat /tmp"))


def test_sources_are_public_and_bounded() -> None:
    sources = default_sources()
    assert sum(source.budget for source in sources) <= 150 * MIB
    homes = (Path("/etc"), Path("/home"), Path("/root"), Path("/var"))
    library = sources[1].path  # Python may be installed anywhere
    assert not any(
        source.path.is_relative_to(home)
        for source in sources
        if source.path != library
        for home in homes
    )
