"""Whether a machine is an EC2 instance, by recorded files of sysfs."""

from pathlib import Path

import pytest

from bundler.host.instance import is_ec2_instance

DMI = "devices/virtual/dmi/id"


def machine(root: Path, **files: str) -> Path:
    """A sysfs of the given files: `uuid` is the hypervisor's, all others the firmware's."""
    for name, text in files.items():
        path = root / ("hypervisor/uuid" if name == "uuid" else f"{DMI}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    return root


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {
                "sys_vendor": "Amazon EC2\n",
                "bios_version": "1.0\n",
                "board_asset_tag": "i-0123456789abcdef0\n",
                "product_uuid": "ec2e1916-9099-7caf-fd21-012345abcdef\n",
            },
            id="Nitro",
        ),
        pytest.param({"board_asset_tag": "i-0123456789abcdef0\n"}, id="asset tag alone"),
        pytest.param(
            {"uuid": "ec2d5a0c-1111-2222-3333-444444444444\n", "sys_vendor": "Xen\n"}, id="Xen"
        ),
        pytest.param({"uuid": "ec2d5a0c-1111-2222-3333-444444444444\n"}, id="Xen paravirtual"),
        pytest.param({"sys_vendor": "Xen\n", "bios_version": "4.11.amazon\n"}, id="no uuid"),
        pytest.param(
            {"sys_vendor": "Xen\n", "product_uuid": "EC2E1916-9099-7CAF-FD21-012345ABCDEF\n"},
            id="capitals",
        ),
        pytest.param(
            {"sys_vendor": "Xen\n", "product_uuid": "45E12AEC-DCD1-B213-94ED-012345ABCDEF\n"},
            id="little endian",
        ),
    ],
)
def test_instances(tmp_path: Path, files: dict[str, str]) -> None:
    assert is_ec2_instance(machine(tmp_path, **files))


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="nothing there"),
        pytest.param(
            {
                "sys_vendor": "LENOVO\n",
                "board_asset_tag": "Not Available\n",
                "product_uuid": "ec2e1916-9099-7caf-fd21-012345abcdef\n",
            },
            id="a laptop whose uuid begins so by chance",
        ),
        pytest.param({"sys_vendor": "QEMU\n", "bios_version": "amazon\n"}, id="QEMU"),
        pytest.param({"uuid": "00000000-0000-0000-0000-000000000000\n"}, id="Xen elsewhere"),
        pytest.param(
            {"sys_vendor": "Xen\n", "product_uuid": "45e12aed-dcd1-b213-94ed-012345abcdef\n"},
            id="Xen elsewhere, with firmware",
        ),
        pytest.param({"sys_vendor": "\xff\x00" * 10**5}, id="no text"),
        pytest.param({"board_asset_tag": "i-0123456789abcdef0 or so\n"}, id="no id"),
    ],
)
def test_other_machines(tmp_path: Path, files: dict[str, str]) -> None:
    assert not is_ec2_instance(machine(tmp_path, **files))


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / DMI / "sys_vendor").mkdir(parents=True)
    assert not is_ec2_instance(tmp_path)
