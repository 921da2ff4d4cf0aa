"""ami-bundler publish."""

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bundler.aws.s3 import S3BundleStore
from bundler.aws.session import Cloud
from bundler.cli.bundle_options import (
    add_bundle_options,
    add_key_options,
    bundle_keys,
    bundle_spec,
    find_account,
)
from bundler.cli.bundle_source import add_source_argument, open_source
from bundler.cli.cloud import (
    describe_transfer,
    open_cloud,
    open_store,
    prepare_bucket,
    registry_of,
    transfer_facts,
    warn_of_amis,
)
from bundler.cli.console import Console, Result
from bundler.cli.discard_option import add_discard_option, discard_free
from bundler.cli.image import bundle_facts
from bundler.cli.options import (
    add_cloud_options,
    add_force_option,
    add_resume_option,
    add_transfer_options,
    choice,
    parse_path,
)
from bundler.cli.register import (
    add_attribute_options,
    add_attributes,
    add_registration_options,
    register,
)
from bundler.cli.upload import add_bucket_options, parse_destination
from bundler.errors import BundlerError, ExistsError
from bundler.host.processors import processor_count
from bundler.host.state_file import StateFile
from bundler.model.file_name import manifest_name
from bundler.model.image import (
    Architecture,
    ImageLocation,
    ImageType,
    VirtualizationType,
)
from bundler.model.registration import Registration
from bundler.workflow.bundle_image import (
    BundleKeys,
    BundlePlan,
    BundleSpec,
    check_image_size,
    plan_bundle,
)
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.doctor import Status
from bundler.workflow.image_contents import find_contents
from bundler.workflow.local_checks import check_architecture, check_contents
from bundler.workflow.ports import ImageRegistry
from bundler.workflow.publish import (
    ANEW,
    find_taken_name,
    find_whole_bundle,
    name_is_taken,
    publish_bundle,
)
from bundler.workflow.publish_state import (
    EarlierRun,
    PublishState,
    describe_manifest,
    describe_source,
    state_name,
)
from bundler.workflow.upload import find_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_source_argument(parser)
    parser.add_argument("location", metavar="s3://BUCKET/PREFIX")
    add_registration_options(parser)
    add_attribute_options(parser)
    parser.set_defaults(virtualization_type="")  # an AMI as the source may say it
    parser.add_argument(
        "--bundle-name", "-p", default="", metavar="NAME", help="default: the image's"
    )
    add_bucket_options(parser)
    add_force_option(parser, "a bundle of that name in S3")
    add_resume_option(parser)
    add_state_option(parser)
    add_bundle_options(parser)
    add_discard_option(parser)
    add_key_options(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def add_state_option(parser: argparse.ArgumentParser) -> None:
    """--state-dir."""
    parser.add_argument(
        "--state-dir",
        type=parse_path,
        metavar="DIR",
        help="where it is kept what an interrupted run has done (default: "
        "$XDG_STATE_HOME/ami-bundler, or ~/.local/state/ami-bundler)",
    )


def state_directory(arguments: argparse.Namespace) -> Path:
    """Where states are kept.

    Raises:
        RuntimeError: there is no home directory.
    """
    directory: Path | None = arguments.state_dir
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return directory or Path(base) / "ami-bundler"


def state_path(arguments: argparse.Namespace, manifest: ImageLocation) -> Path:
    """The file in which a publishing of a manifest is remembered.

    Raises:
        RuntimeError: there is no home directory.
    """
    return state_directory(arguments) / state_name(manifest.url, arguments.endpoint_url)


def open_state_file(
    stack: ExitStack, arguments: argparse.Namespace, console: Console, name: str, work: str
) -> StateFile | None:
    """What an earlier run has left; without a place to keep it there is no resuming.

    Raises:
        ExistsError: another process does the same `work`.
        MissingError, InputError, HostError: what --state-dir names cannot be used.
    """
    try:
        return stack.enter_context(StateFile.open(state_directory(arguments) / name, work=work))
    except ExistsError:
        raise
    except (BundlerError, RuntimeError) as error:  # the latter when there is no home directory
        if arguments.state_dir:
            raise type(error)(f"{error}; name another --state-dir") from error
        console.warn(f"{error}: a run that is interrupted cannot be resumed; see --state-dir")
    return None


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Bundle, upload and register."""
    location = parse_destination(arguments.location, arguments.command)
    with open_source(arguments, arguments.image) as opened, ExitStack() as stack:
        arguments, source = opened.arguments, opened.source
        _check_image(arguments, source, console)
        keys = bundle_keys(arguments, console)
        cloud = opened.cloud or open_cloud(arguments)
        name = arguments.bundle_name or opened.name
        spec = bundle_spec(arguments, source, name, find_account(arguments), console)
        source = discard_free(arguments, source, console)
        registration = published_registration(arguments, arguments.name, spec, location)
        registry = registry_of(cloud)
        state = _open_state(stack, arguments, console, source, spec, registration.location)
        earlier = None if arguments.no_resume else _load(state, source, keys, console)
        ours = earlier.manifests if earlier else {}
        ami = find_taken_name(registry, registration, is_ours=bool(ours))
        prepare_bucket(arguments, cloud, location, console)
        store = open_store(cloud, location, acl=arguments.acl)
        found = find_bundle(store, name, force=arguments.force, ours=ours)
        described = describe_manifest(source, spec, keys.ec2)
        bundle = find_whole_bundle(store, found, earlier, described=described, progress=console)
        if bundle is None:
            if ami:
                raise name_is_taken(registration.name, ami, registration.location)
            found = replace(found, is_same=False, has_own_parts=state.has_earlier_run)
            warn_of_amis(cloud, location, found, console)
            bundle = publish_bundle(
                lambda: _plan(arguments, source),
                spec,
                keys,
                store,
                found=found,
                state=state,
                earlier=earlier,
                workers=processor_count(),
                progress=console,
            )
        sent = _tell_transfer(cloud, store, console)
        result = register_published(registry, registration, console)
        state.finish()
    return _add_facts(result, bundle_facts(bundle), opened.facts(), sent)


def _tell_transfer(cloud: Cloud, store: S3BundleStore, console: Console) -> dict[str, int]:
    sent = transfer_facts(cloud, done=store.sent_count, held=store.held_count)
    console.note(describe_transfer(sent))
    return sent


def _add_facts(result: Result, *more: Mapping[str, object]) -> Result:
    """The registered AMI, and what else is known; `name` is the bundle's, as image has it."""
    facts = {**result.facts, "ami_name": result.facts["name"]}
    for found in more:
        facts |= found
    return replace(result, facts=facts)


def _check_image(arguments: argparse.Namespace, source: BundleSource, console: Console) -> None:
    """Refuse what is no raw image or too large, and tell of what will hardly boot."""
    check_image_size(source, allow_large=arguments.allow_large)
    if arguments.type != ImageType.MACHINE:
        return
    kind = choice("--virtualization-type", arguments.virtualization_type, VirtualizationType)
    contents = find_contents(source)
    asked = choice("--arch", arguments.arch, Architecture) if arguments.arch else None
    findings = [*check_contents(contents, source.label, kind)]
    if asked and contents.architecture:
        findings += check_architecture(contents.architecture, asked, asked)
    for finding in findings:
        if finding.status is Status.WARN:
            console.warn(f"{source.label}: {finding.message}; {finding.remedy}")


def _plan(arguments: argparse.Namespace, source: BundleSource) -> BundlePlan:
    return plan_bundle(source, dig_holes=arguments.dig_holes, allow_large=arguments.allow_large)


def register_published(
    registry: ImageRegistry, registration: Registration, console: Console
) -> Result:
    """Register an AMI of a bundle that was just sent.

    Raises:
        AwsRefusedError, TransferError: EC2 refuses, or cannot be reached.
    """
    try:
        return register(registry, registration, console)
    except BundlerError:
        console.note(
            f"the bundle is whole: ami-bundler register {registration.location.url} tries again"
        )
        raise


def published_registration(
    arguments: argparse.Namespace, name: str, spec: BundleSpec, location: ImageLocation
) -> Registration:
    """The AMI that the options describe, of the bundle in a prefix.

    Raises:
        UsageError: one is wrong, or does not fit the AMI.
    """
    registration = Registration(
        location=location.join(manifest_name(spec.name)),
        name=name,
        description=arguments.description,
        architecture=spec.architecture,
        virtualization_type=choice(
            "--virtualization-type", arguments.virtualization_type, VirtualizationType
        ),
        kernel_id=arguments.kernel,
        ramdisk_id=arguments.ramdisk,
    )
    return add_attributes(arguments, registration)


def _open_state(
    stack: ExitStack,
    arguments: argparse.Namespace,
    console: Console,
    source: BundleSource,
    spec: BundleSpec,
    manifest: ImageLocation,
) -> PublishState:
    name = state_name(manifest.url, arguments.endpoint_url)
    file = open_state_file(stack, arguments, console, name, "publishing this bundle")
    return PublishState(file, describe_source(source, spec, dig_holes=arguments.dig_holes))


def _load(
    state: PublishState, source: BundleSource, keys: BundleKeys, console: Console
) -> EarlierRun | None:
    earlier = state.load(source.size, keys.user)
    if isinstance(earlier, EarlierRun):
        console.note("resuming: what S3 holds already is not sent again")
        return earlier
    if earlier:
        console.warn(f"an earlier run was interrupted, but {earlier}: {ANEW}")
    return None
