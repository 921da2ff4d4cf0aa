"""Files of an image, whose links must not lead out of it."""

import os
from pathlib import Path

import pytest

from bundler.errors import BundlerError, HostError, InputError
from bundler.host.rooted_files import RootedFiles


@pytest.fixture
def files(tmp_path: Path) -> RootedFiles:
    for name in ("root/etc", "root/boot", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "outside/file").write_text("of the host")
    (tmp_path / "root/etc/file").write_text("of the image")
    return RootedFiles(root=tmp_path / "root")


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ("etc/file", "of the image"),
        ("/etc/file", "of the image"),
        ("../../../../etc/file", "of the image"),
        ("boot/../etc/./file", "of the image"),
        ("/outside/file", None),
        ("../outside/file", None),
        ("nowhere", None),
    ],
)
def test_a_link_is_one_of_the_image(files: RootedFiles, link: str, text: str | None) -> None:
    (files.root / "link").symlink_to(link)
    data = files.read("/link", 100)
    assert (data and data.decode()) == text
    assert files.is_file("/link") is (text is not None)


def test_an_absolute_link_to_the_host_leads_nowhere(files: RootedFiles, tmp_path: Path) -> None:
    (files.root / "boot/grub").symlink_to(tmp_path / "outside")
    (files.root / "etc/fstab").symlink_to(tmp_path / "outside/file")
    assert files.read("/boot/grub/file", 100) is None
    assert files.names("/boot/grub") == ()
    assert files.read("/etc/fstab", 100) is None
    with pytest.raises(BundlerError):
        files.write("/boot/grub/file", b"x")
    with pytest.raises(BundlerError):
        files.write("/etc/fstab", b"x")
    assert (tmp_path / "outside/file").read_text() == "of the host"
    assert len(list((tmp_path / "outside").iterdir())) == 1


def test_links_in_circles_are_an_error(files: RootedFiles) -> None:
    (files.root / "a").symlink_to("b")
    (files.root / "b").symlink_to("a")
    with pytest.raises(HostError, match="symbolic links"):
        files.read("/a", 10)


def test_what_is_no_file_is_none(files: RootedFiles) -> None:
    os.mkfifo(files.root / "pipe")
    assert files.read("/pipe", 10) is None
    assert files.read("/etc", 10) is None
    with pytest.raises(InputError, match="expected a file, got another"):
        files.write("/pipe", b"x")


def test_reading_is_bounded(files: RootedFiles) -> None:
    assert files.read("/etc/file", 12) == b"of the image"
    assert files.read_start("/etc/file", 2) == b"of"
    with pytest.raises(InputError, match="at most 11 bytes"):
        files.read("/etc/file", 11)


def test_a_file_that_is_written_keeps_what_belongs_to_it(files: RootedFiles) -> None:
    path = files.root / "etc/file"
    path.chmod(0o4640)
    os.setxattr(path, "user.mine", b"1")
    number = path.stat().st_ino
    files.write("/etc/file", b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino == number
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.getxattr(path, "user.mine") == b"1"
    files.write("/etc/other", b"made", mode=0o600)
    assert (files.root / "etc/other").stat().st_mode & 0o777 == 0o600
    files.remove("/etc/other")
    files.remove("/etc/other")
    assert files.names("/etc") == ("file",)


def test_directories_are_made_on_the_way(files: RootedFiles) -> None:
    (files.root / "boot/grub").symlink_to("../usr/grub")
    (files.root / "usr").mkdir()
    files.make_directory("/usr/grub/deep")
    assert files.is_directory("/boot/grub/deep")
    assert not files.is_directory("/etc/file")
