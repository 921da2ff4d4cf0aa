"""Measure ami-bundler against tar, gzip, pigz and openssl, interleaved and in pairs.

Run it with the Python of the environment that holds the package: `python scripts/bench.py`.

The standard tools run as the pipelines that AMI Tools and euca2ools consist of: tar -S, tee to
`openssl dgst -sha1` through a named pipe (the digest of the image), gzip or pigz, openssl enc,
split; and back: cat, openssl enc -d, gzip or pigz, tar.  Left out is what ami-bundler does
besides: bundling, the digests of the parts and the manifest; unbundling, every check of digest
and signature.  So the pipelines are a little faster than the real tools.

With --transfer a bundle of 64 full parts of random bytes goes to S3 and comes back, by
`ami-bundler upload` and `download` and by `aws s3 cp --recursive` with its default settings.
The server is on the loopback and shares the processors with its client, so that its own CPU
seconds, shown beside, bound the wall time: moto spends the least per byte and checks nothing;
seaweedfs and swift check signatures and digests as S3 does.  Every upload goes to an empty
bucket, every download to an empty directory.  What ami-bundler does besides: it verifies the
SHA-1 of each part, and a downloaded part is safe on the disk (fsync) before it has its name.

Every competitor first runs once unmeasured; its output is decoded (with the standard tools) and
compared with the image, and a bundle that was moved with the one that was there.  Then come the
rounds: in each one every competitor runs once, in an order that rotates, with the page cache
warm and all writes synced before.  Ratios are taken within a round, so that a machine that is
slow for a while slows both sides.  CPU seconds are those of the whole tree of processes, peak MB
those of its largest single process ("<": not more than the process that measures).
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmark.competitors import (
    COMPRESSORS,
    DECOMPRESSORS,
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
from benchmark.image import RECIPE, ImagePlan, build_image, default_image_size, write_scattered
from benchmark.moto import moto_server
from benchmark.options import TRANSFERS, UNBUNDLERS, make_parser
from benchmark.process import BenchError, find_tool, run
from benchmark.report import publish_ratios, speedups, summary
from benchmark.runner import Run, Subject, compare, private_directory, say
from benchmark.toolbox import find_aws, version_of

SCALING = {
    "dense-256MiB": (256 * 2**20, 256 * 2**20, 1),
    "sparse-10GiB": (10 * 2**30, 300 * 10**6, 1000),
}
"""Images of --memory: bytes, bytes of data, places that the data is spread over."""


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

    def show(
        self, title: str, competitors: Sequence[Competitor], subject: Path | Subject
    ) -> list[Run]:
        """Compare, print the summary, and keep the runs; a path is an image's."""
        if not competitors:
            return []
        if isinstance(subject, Path):
            subject = Subject.of_image(subject)
        runs = compare(competitors, subject, rounds=self.options.runs, work_dir=self.work_dir)
        self.runs.extend(runs)
        print(f"\n{title} {subject.name} ({subject.size_text})\n{summary(runs)}", flush=True)
        return runs


# Modes


def compare_tools(bench: Bench, image: Path) -> None:
    """Bundle and unbundle an image with everything."""
    standard = [standard_bundler(image, compressor) for compressor in COMPRESSORS]
    bundlers = bench.runnable([*standard, *bench.our_bundlers(image)])
    print_ratios(speedups(bench.show("Bundle", bundlers, image), COMPRESSORS))
    if any(bench.wants(name) for name in UNBUNDLERS):
        with unbundlers(bench, image) as competitors:
            runs = bench.show("Unbundle", bench.runnable(competitors), image)
            print_ratios(speedups(runs, DECOMPRESSORS))


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
        pairs = [
            (our_bundler(image, bench.keys, level), our_publisher(image, bench.keys, level, moto))
            for level in bench.options.levels
        ]
        competitors = bench.runnable([one for pair in pairs for one in pair])
        runs = bench.show("Publish", competitors, image)
        print_ratios(publish_ratios(runs, bench.options.levels))


def measure_scaling(bench: Bench) -> None:
    """Bundle a dense image and a huge sparse one: does the peak stay where it is?"""
    for name, (image_size, data_size, places) in SCALING.items():
        image = bench.work_dir / f"{name}-{RECIPE}.img"
        competitors = bench.runnable(bench.our_bundlers(image))
        if competitors and not image.exists():
            say(f"making {image}")
            unfinished = image.with_suffix(".unfinished")
            write_scattered(unfinished, image_size=image_size, data_size=data_size, places=places)
            unfinished.rename(image)
        bench.show("Bundle", competitors, image)


def compare_transfer(bench: Bench) -> None:
    """Move a bundle to a server on this machine and back, against the AWS CLI."""
    # It needs boto3, which comes with the package; the other modes do without.
    from benchmark.servers import s3_server
    from benchmark.transfer import downloaders, transfer_bundle, uploaders

    if bench.ours_missing:
        raise BenchError(f"--transfer needs ami-bundler: {bench.ours_missing}")
    aws = ""
    if any(bench.wants(name) for name in TRANSFERS if name.startswith("aws-")):
        aws = find_aws(bench.options.aws, bench.work_dir)
        print(version_of(aws))
    with (
        transfer_bundle(bench.keys, bench.work_dir) as (bundle, subject),
        s3_server(bench.options.server, bench.work_dir) as server,
    ):
        for title, make in (("Upload", uploaders), ("Download", downloaders)):
            competitors = bench.runnable(make(bundle, server, aws, bench.work_dir))
            runs = bench.show(f"{title} ({server.name})", competitors, subject)
            print_ratios(speedups(runs, TRANSFERS))


def print_ratios(table: str) -> None:
    """Print a table of ratios, if there is one."""
    if table:
        print(f"\n{table}", flush=True)


# Preparations


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
    missing = why_ours_is_missing()
    keys = make_keys(work_dir, with_ours=not missing)
    bench = Bench(options=options, work_dir=work_dir, keys=keys, ours_missing=missing)
    if options.memory:
        measure_scaling(bench)
    elif options.transfer:
        compare_transfer(bench)
    elif options.publish:
        compare_publish(bench, choose_image(options, work_dir))
    else:
        compare_tools(bench, choose_image(options, work_dir))
    if not bench.runs:
        raise BenchError("nothing left to measure; see --only, --levels and what was skipped")
    if options.json:
        raw = {"host": host, "runs": [asdict(done) for done in bench.runs]}
        options.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Run; the exit code."""
    # Whoever ends the benchmark ends its servers, too, and their files go.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        measure_all(make_parser(__doc__).parse_args())
    except (BenchError, OSError) as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
