"""Measure ami-bundler against tar, gzip, pigz and openssl, interleaved and in pairs.

Run it with the Python of the environment that holds the package: `python scripts/bench.py`.

The standard tools run as the pipelines that AMI Tools and euca2ools consist of: tar -S, tee to
`openssl dgst -sha1` through a named pipe (the digest of the image), gzip or pigz, openssl enc,
split; and back: cat, openssl enc -d, gzip or pigz, tar.  Left out is what ami-bundler does
besides: bundling, the digests of the parts and the manifest; unbundling, every check of digest
and signature.  So the pipelines are a little faster than the real tools.

Every competitor first runs once unmeasured; its output is decoded (with the standard tools) and
compared with the image.  Then come the rounds: in each one every competitor runs once, in an
order that rotates, with the page cache warm and all writes synced before.  Ratios are taken
within a round, so that a machine that is slow for a while slows both sides.  CPU seconds are
those of the whole tree of processes, peak MB those of its largest single process ("<": not
more than the process that measures).
"""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmark.competitors import (
    COMPRESSORS,
    DECOMPRESSORS,
    LEVELS,
    OURS,
    Competitor,
    Keys,
    make_keys,
    make_source_bundle,
    our_bundler,
    our_publisher,
    our_unbundler,
    standard_bundler,
    standard_unbundler,
)
from benchmark.image import ImagePlan, build_image, default_image_size, write_scattered
from benchmark.moto import moto_server
from benchmark.process import BenchError, find_tool, run
from benchmark.report import publish_ratios, speedups, summary
from benchmark.runner import Run, compare, private_directory, say

UNBUNDLERS = (*DECOMPRESSORS, "ours-unbundle")
NAMES = (
    *COMPRESSORS,
    *(f"ours-{level}" for level in LEVELS),
    *UNBUNDLERS,
    *(f"publish-{level}" for level in LEVELS),
)
"""All competitors."""
SCALING = {
    "dense-256MiB": (256 * 2**20, 256 * 2**20, 1),
    "sparse-10GiB": (10 * 2**30, 300 * 10**6, 1000),
}
"""Images of --memory: bytes, bytes of data, places that the data is spread over."""
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(kw_only=True)
class Bench:
    """What the comparisons of one call share, and what they found."""

    options: argparse.Namespace
    work_dir: Path
    keys: Keys
    ours_missing: str
    """Why `python -P -m bundler` cannot run; empty if it can."""
    runs: list[Run] = field(default_factory=list)

    def wants(self, name: str) -> bool:
        """Whether --only leaves this competitor in."""
        return not self.options.only or name in self.options.only

    def runnable(self, competitors: Sequence[Competitor]) -> list[Competitor]:
        """Those asked for that can run here; says which cannot, and why."""
        wanted: dict[str, list[Competitor]] = {"": []}
        for competitor in competitors:
            if self.wants(competitor.name):
                missing = self.ours_missing if competitor.is_ours else competitor.missing()
                wanted.setdefault(missing, []).append(competitor)
        chosen = wanted.pop("")
        for missing, skipped in wanted.items():
            say(f"skipped: {', '.join(one.name for one in skipped)}: {missing}")
        return chosen

    def our_bundlers(self, image: Path) -> list[Competitor]:
        """`ami-bundler image` at each level."""
        return [our_bundler(image, self.keys, level) for level in self.options.levels]

    def show(self, title: str, competitors: Sequence[Competitor], image: Path) -> list[Run]:
        """Compare, print the summary, and keep the runs."""
        if not competitors:
            return []
        runs = compare(competitors, image, rounds=self.options.runs, work_dir=self.work_dir)
        self.runs.extend(runs)
        status = image.stat()
        sizes = f"{status.st_size:,} bytes, {status.st_blocks * 512:,} of them data"
        print(f"\n{title} {image.name} ({sizes})\n{summary(runs)}\n", flush=True)
        return runs


# Modes


def compare_tools(bench: Bench, image: Path) -> None:
    """Bundle and unbundle an image with everything."""
    standard = [standard_bundler(image, compressor) for compressor in COMPRESSORS]
    bundlers = bench.runnable([*standard, *bench.our_bundlers(image)])
    print(speedups(bench.show("Bundle", bundlers, image), COMPRESSORS))
    if any(bench.wants(name) for name in UNBUNDLERS):
        with unbundlers(bench, image) as competitors:
            runs = bench.show("Unbundle", bench.runnable(competitors), image)
            print(speedups(runs, DECOMPRESSORS))


@contextmanager
def unbundlers(bench: Bench, image: Path) -> Iterator[list[Competitor]]:
    """Those that unbundle, on a bundle made here: ours if possible, else one made by gzip."""
    if bench.ours_missing:
        bundler = standard_bundler(image, "gzip-6")
    else:
        bundler = our_bundler(image, bench.keys, "balanced")
    with tempfile.TemporaryDirectory(dir=bench.work_dir, prefix="bundle-") as directory:
        bundle = make_source_bundle(bundler, Path(directory), bench.keys)
        standard = [standard_unbundler(bundle, decompressor) for decompressor in DECOMPRESSORS]
        yield [*standard, our_unbundler(bundle, bench.keys)]


def compare_publish(bench: Bench, image: Path) -> None:
    """Publish to a server on this machine against bundling alone."""
    with moto_server() as moto:
        publishers = [
            our_publisher(image, bench.keys, level, moto) for level in bench.options.levels
        ]
        competitors = bench.runnable([*bench.our_bundlers(image), *publishers])
        print(publish_ratios(bench.show("Publish", competitors, image), bench.options.levels))


def measure_scaling(bench: Bench) -> None:
    """Bundle a dense image and a huge sparse one: does the peak stay where it is?"""
    for name, (image_size, data_size, places) in SCALING.items():
        image = bench.work_dir / f"{name}.img"
        if not image.exists():
            say(f"making {image}")
            unfinished = image.with_suffix(".unfinished")
            write_scattered(unfinished, image_size=image_size, data_size=data_size, places=places)
            unfinished.rename(image)
        bench.show("Bundle", bench.runnable(bench.our_bundlers(image)), image)


# Command line


def parse_size(text: str) -> int:
    """Bytes of "760MB", "1GiB" or "4096"."""
    match = re.fullmatch(r"(\d+) ?([KMG]I?B)?", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 760MB or 1GiB")
    return int(match[1]) * UNITS[match[2] or ""]


def parse_count(text: str) -> int:
    """A number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def list_of(allowed: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Parser of comma-separated names."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(allowed)}")
        return names

    return parse


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_image_options(parser.add_argument_group("image"))
    group = parser.add_argument_group("what to measure")
    mode = group.add_mutually_exclusive_group()
    add = mode.add_argument
    add("--publish", action="store_true", help="publish to a moto server against bundling alone")
    add("--memory", action="store_true", help="ami-bundler on 256 MiB, and on 10 GiB with holes")
    add = group.add_argument
    add("--only", type=list_of(NAMES), metavar="NAME,...", help=f"of {', '.join(NAMES)}")
    text = f"of ami-bundler (default: {','.join(LEVELS)})"
    add("--levels", type=list_of(LEVELS), default=LEVELS, metavar="LEVEL,...", help=text)
    add("--runs", type=parse_count, default=5, metavar="N", help="rounds (default: 5)")
    add = parser.add_argument_group("files").add_argument
    work_dir = Path(tempfile.gettempdir(), f"ami-bundler-bench-{os.getuid()}")
    text = f"images (kept for the next call), keys and output (default: {work_dir})"
    add("--work-dir", type=Path, default=work_dir, metavar="DIR", help=text)
    add("--json", type=Path, metavar="FILE", help="write the raw numbers there")
    return parser


def add_image_options(group: argparse._ArgumentGroup) -> None:
    """Options that choose the image."""
    source = group.add_mutually_exclusive_group()
    text = "ext4 image of files of DIR, always the same choice of them (default: /usr)"
    source.add_argument(
        "--from", dest="source", type=Path, default="/usr", metavar="DIR", help=text
    )
    text = "ext4 image made from a fixed seed: text, programs, gzip files, zeros, deleted files"
    source.add_argument("--synthetic", action="store_true", help=text)
    source.add_argument("--image", type=Path, metavar="FILE", help="an image of your own")
    text = "bytes of data (default: 760MB)"
    group.add_argument("--data-size", type=parse_size, default="760MB", metavar="SIZE", help=text)
    text = "bytes of the image (default: 1.4 times the data, a multiple of 64 MiB)"
    group.add_argument("--image-size", type=parse_size, metavar="SIZE", help=text)


def choose_image(options: argparse.Namespace, work_dir: Path) -> Path:
    """The image asked for; made if it is not there yet."""
    if options.image:
        image: Path = options.image.resolve()
        if not image.is_file():
            raise BenchError(f"{image}: not a file")
        return image
    plan = ImagePlan(
        source=None if options.synthetic else options.source.resolve(),
        data_size=options.data_size,
        image_size=options.image_size or default_image_size(options.data_size),
    )
    say(f"image: {plan}")
    return build_image(plan, work_dir)


def why_ours_is_missing() -> str:
    """Why `python -P -m bundler` cannot run; empty if it can."""
    try:
        run((*OURS, "image", "--help"))
    except BenchError as error:
        return str(error)
    return ""


def describe_host() -> dict[str, object]:
    """What the numbers depend on."""
    versions = {"tar": "--version", "gzip": "--version", "pigz": "--version", "openssl": "version"}
    return {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpu_count": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        **{
            name: run((path, option)).decode(errors="replace").partition("\n")[0]
            for name, option in versions.items()
            if (path := find_tool(name))
        },
    }


def measure_all(options: argparse.Namespace) -> None:
    """Do what the options ask for.

    Raises:
        BenchError: it cannot be done.
    """
    host = describe_host()
    print("; ".join(f"{name}: {value}" for name, value in host.items()))
    work_dir = private_directory(options.work_dir)
    bench = Bench(
        options=options,
        work_dir=work_dir,
        keys=make_keys(work_dir),
        ours_missing=why_ours_is_missing(),
    )
    if options.memory:
        measure_scaling(bench)
    elif options.publish:
        compare_publish(bench, choose_image(options, work_dir))
    else:
        compare_tools(bench, choose_image(options, work_dir))
    if options.json:
        raw = {"host": host, "runs": [asdict(done) for done in bench.runs]}
        options.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Run; the exit code."""
    try:
        measure_all(make_parser().parse_args())
    except (BenchError, OSError) as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
