"""Whether an image's kernels find their root disk on an instance; the driver is added if not.

S3-backed AMIs run on Xen instances, whose disks need the driver xen-blkfront.
"""

from dataclasses import dataclass

from bundler.codec.boot_menu import Kernel, find_kernels
from bundler.errors import BundlerError, HostError
from bundler.host.rooted_files import RootedFiles
from bundler.host.run import failure, find_program, run, run_to_end
from bundler.model.bundle import MIB
from bundler.workflow.mounted_image import MountedImage

DRIVER = "xen-blkfront"
"""Of the root disk.  Source: Linux, drivers/block/xen-blkfront.c."""

MODULES_FILE = "/etc/initramfs-tools/modules"
"""Names of modules, one a line.  Source: initramfs-tools(7)."""

_MAX_LIST_SIZE = 8 * MIB
_PROGRAM_DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """Programs of the image that read and make an initramfs; empty: it has none."""

    lister: str
    maker: str

    @classmethod
    def find(cls, files: RootedFiles) -> "_Tools":
        """initramfs-tools, or else dracut."""
        for lister, maker in (("lsinitramfs", "update-initramfs"), ("lsinitrd", "dracut")):
            found = _program(files, lister)
            if found:
                return cls(lister=found, maker=_program(files, maker))
        return cls(lister="", maker="")


def check_initramfs(
    image: MountedImage, *, updates: bool, runs_programs: bool = True
) -> tuple[str, ...]:
    """See that each kernel has the driver of the root disk, and add it unless `updates` is false.

    Unless `runs_programs`, none of the image's own is run, so that less is known.  A failure to
    add it is told, and is none of the image's: it may be for other machines.

    Raises:
        InputError, HostError: a file of the image cannot be read.
    """
    files = RootedFiles(root=image.root)
    tools = _Tools.find(files) if runs_programs else _Tools(lister="", maker="")
    notes: list[str] = []
    for kernel in find_kernels(files.names("/boot")):
        if _is_built_in(files, kernel):
            continue
        where = f"kernel {kernel.version}"
        if not _is_module(files, kernel):
            notes.append(f"{where}: no driver {DRIVER}, which an S3-backed instance's disk needs")
        elif not kernel.initramfs:
            notes.append(f"{where}: its driver {DRIVER} is a module, and it has no initramfs")
        elif not tools.lister:
            notes.append(f"{where}: not known whether its initramfs has the driver {DRIVER}")
        else:
            notes += _check_one(image, files, tools, kernel, updates=updates)
    return tuple(notes)


def _check_one(
    image: MountedImage, files: RootedFiles, tools: _Tools, kernel: Kernel, *, updates: bool
) -> list[str]:
    subject = f"/boot/{kernel.initramfs}"
    try:
        if _has_driver(image, tools, kernel):
            return []
        if not updates or not tools.maker:
            return [f"{subject}: lacks the driver {DRIVER}, which an S3-backed instance needs"]
        _add_driver(image, files, tools, kernel)
        if _has_driver(image, tools, kernel):
            return [f"{subject}: made anew by {tools.maker}, for it lacked the driver {DRIVER}"]
        return [f"{subject}: lacks the driver {DRIVER} even when {tools.maker} has made it anew"]
    except BundlerError as error:
        return [f"{subject}: not known whether it has the driver {DRIVER}: {error}"]


def _has_driver(image: MountedImage, tools: _Tools, kernel: Kernel) -> bool:
    found = False

    def look(line: bytes) -> None:
        nonlocal found
        found |= f"/{DRIVER}.ko".encode() in line

    argv = _in_image(image, tools.lister, f"/boot/{kernel.initramfs}")
    finished = run_to_end(argv, look)
    if finished.status and not found:
        raise failure(argv, finished)
    return found


def _add_driver(image: MountedImage, files: RootedFiles, tools: _Tools, kernel: Kernel) -> None:
    if tools.maker.endswith("dracut"):
        words = ("--force", "--no-hostonly", "--add-drivers", DRIVER)
        run(_in_image(image, tools.maker, *words, f"/boot/{kernel.initramfs}", kernel.version))
        return
    listed = files.read(MODULES_FILE, MIB)
    if listed is None:
        raise HostError(f"read {MODULES_FILE} of the image: expected a file, got none")
    name = DRIVER.encode()
    if name not in listed.split():
        end = b"" if not listed or listed.endswith(b"\n") else b"\n"
        files.write(MODULES_FILE, listed + end + name + b"\n")
    run(_in_image(image, tools.maker, "-u", "-k", kernel.version))


def _is_built_in(files: RootedFiles, kernel: Kernel) -> bool:
    listed = files.read(f"/lib/modules/{kernel.version}/modules.builtin", _MAX_LIST_SIZE)
    return f"/{DRIVER}.ko".encode() in (listed or b"")


def _is_module(files: RootedFiles, kernel: Kernel) -> bool:
    listed = files.read(f"/lib/modules/{kernel.version}/modules.dep", _MAX_LIST_SIZE)
    return f"/{DRIVER}.ko".encode() in (listed or b"")


def _in_image(image: MountedImage, *words: str) -> tuple[str, ...]:
    chroot = find_program("chroot", package="coreutils")
    return (str(chroot), str(image.root), *words)


def _program(files: RootedFiles, name: str) -> str:
    paths = (f"{directory}/{name}" for directory in _PROGRAM_DIRECTORIES)
    return next(filter(files.is_file, paths), "")
