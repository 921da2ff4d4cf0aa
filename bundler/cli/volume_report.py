"""The report of what was left out of an image, and what of it is suspicious; and the plan."""

import argparse
import json
import os
from pathlib import Path

from bundler.cli.console import Console
from bundler.cli.options import parse_path
from bundler.cli.publish import state_directory
from bundler.cli.table import format_size
from bundler.cli.volume_image import PlannedImage
from bundler.host.files import (
    check_absent,
    check_creatable,
    check_directory,
    os_errors,
    write_file,
)
from bundler.model.bundle import MIB
from bundler.model.disk import Disk
from bundler.workflow.copy_report import CopyReport, render_report, report_facts
from bundler.workflow.image_volume import FilledImage, VolumePlan

SUFFIX = ".report"
"""Behind the bundle's name, in the names of reports."""

_TOLD_COUNT = 5


def add_report_option(parser: argparse.ArgumentParser) -> None:
    """--report."""
    parser.add_argument(
        "--report",
        type=parse_path,
        metavar="FILE",
        help="of what was left out and what is suspicious: FILE.json and FILE.txt, never sent "
        "anywhere (default: NAME.report in DIR; with s3:// in --state-dir)",
    )


def report_files(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Where the reports go: that for programs, and that for people."""
    base = _report_path(arguments)
    return base.with_name(f"{base.name}.json"), base.with_name(f"{base.name}.txt")


def check_report(arguments: argparse.Namespace) -> None:
    """Make sure beforehand that the report can be written.

    Raises:
        MissingError, InputError, HostError: it cannot.
    """
    if arguments.report is not None:
        check_directory(arguments.report.parent)
    elif not arguments.dry_run:
        check_creatable(_report_path(arguments).parent)
    for path in report_files(arguments):
        check_absent(path, force=True)


def keep_report(
    arguments: argparse.Namespace, plan: VolumePlan, filled: FilledImage, console: Console
) -> dict[str, object]:
    """Write the report, and tell the essence of it; what programs want to know.

    Raises:
        HostError: it cannot be written.
    """
    report = CopyReport(
        selection=plan.selection,
        left_out_mounts=plan.volume.left_out,
        vanished_count=filled.vanished.count,
        vanished=tuple(path.removeprefix(b"./") for path in filled.vanished.paths),
        notes=filled.notes,
    )
    base = _report_path(arguments)
    with os_errors("write to", base.parent):
        base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = {"volume": plan.volume.path, "disk": disk_facts(filled.disk), **report_facts(report)}
    texts = (json.dumps(facts, indent=2) + "\n", render_report(report))
    for path, text in zip(report_files(arguments), texts, strict=True):
        write_file(path, text.encode(errors="surrogateescape"), mode=0o600, force=True)
    _tell(report, base, console)
    return {
        "report": f"{base}.json",
        "left_out_count": plan.selection.left_out.count,
        "secret_count": plan.selection.secrets.count,
        "suspicious_count": plan.selection.suspicious.count,
        "vanished_count": filled.vanished.count,
        "disk": disk_facts(filled.disk),
        "notes": list(filled.notes),
    }


def disk_facts(disk: Disk) -> dict[str, object]:
    """A disk for programs; sizes in bytes."""
    return {
        "size": disk.size,
        "partition_table": disk.scheme.value if disk.scheme else "none",
        "partitions": [
            {
                "number": one.number,
                "role": one.role.value,
                "offset": one.offset,
                "size": one.size,
                "mount_point": one.mount_point,
                "type": one.file_system.type.value if one.file_system else "",
                "uuid": one.file_system.uuid if one.file_system else "",
                "label": one.file_system.label if one.file_system else "",
                "partuuid": one.uuid,
            }
            for one in disk.partitions
        ],
    }


def plan_facts(planned: PlannedImage) -> dict[str, object]:
    """What --dry-run tells programs."""
    plan = planned.plan
    report = CopyReport(
        selection=plan.selection, left_out_mounts=plan.volume.left_out, notes=plan.notes
    )
    return {
        "volume": plan.volume.path,
        "mounts": [
            {"path": one.path, "device": one.device, "type": one.type} for one in plan.volume.mounts
        ],
        "architecture": plan.architecture.value if plan.architecture else None,
        "needed_size": planned.needed_size,
        "disk": disk_facts(plan.disk),
        **report_facts(report),
    }


def describe_plan(planned: PlannedImage) -> str:
    """What --dry-run tells people."""
    plan, disk = planned.plan, planned.plan.disk
    lines = [f"image: {disk.size // MIB} MiB, {disk.scheme or 'no partition table'}"]
    for one in disk.partitions:
        kind = one.file_system.type.value if one.file_system else "-"
        where = one.mount_point or "-"
        lines.append(
            f"  {one.number:>3} {one.role.value:9} {one.size // MIB:>6} MiB {kind:5} {where}"
        )
    for mount in plan.volume.mounts:
        lines.append(f"copies {mount.path}: {mount.type} {mount.device}".rstrip())
    lines.append(f"room needed for the image: {format_size(planned.needed_size)}")
    report = CopyReport(
        selection=plan.selection, left_out_mounts=plan.volume.left_out, notes=plan.notes
    )
    return "\n".join(lines) + "\n" + render_report(report).rstrip("\n")


def _report_path(arguments: argparse.Namespace) -> Path:
    path: Path | None = arguments.report
    if path is not None:
        return path
    name = f"{arguments.name}{SUFFIX}"
    if arguments.destination is not None:
        return Path(arguments.destination) / name
    return state_directory(arguments) / name


def _tell(report: CopyReport, base: Path, console: Console) -> None:
    """In a few lines what a person should not miss."""
    selection = report.selection
    if report.vanished_count:
        first = ", ".join("/" + os.fsdecode(path) for path in report.vanished[:_TOLD_COUNT])
        more = ", ..." if report.vanished_count > _TOLD_COUNT else ""
        console.warn(
            f"{report.vanished_count} files vanished before they were copied: {first}{more}"
        )
    if selection.suspicious.count:
        first = ", ".join(
            f"/{os.fsdecode(one.path)} ({one.reason})"
            for one in selection.suspicious.told[:_TOLD_COUNT]
        )
        more = ", ..." if selection.suspicious.count > _TOLD_COUNT else ""
        console.warn(f"copied, and suspicious: {first}{more}")
    console.note(
        f"{selection.file_count} files copied; left out: {selection.left_out.count} "
        f"({selection.secrets.count} of them secrets), see {base}.txt"
    )
