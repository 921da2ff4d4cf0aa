"""ami-bundler ami share."""

import argparse
from collections.abc import Mapping, Sequence

from bundler.cli.console import Console, Result
from bundler.cli.image_bundle import bundle_facts, bundle_of, describe_acls
from bundler.cli.image_changes import ImageChange, add_change_options, open_change
from bundler.cli.image_lookup import permission_facts
from bundler.errors import UsageError
from bundler.model.object_access import ObjectAccess
from bundler.model.permission import EVERYBODY, LaunchPermission, PermissionKind
from bundler.workflow.registered_bundle import RegisteredBundle, RegisteredState

_KINDS = {
    "account": PermissionKind.ACCOUNT,
    "organization": PermissionKind.ORGANIZATION,
    "organizational_unit": PermissionKind.ORGANIZATIONAL_UNIT,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_change_options(parser)
    group = parser.add_argument_group("who")
    for option, metavar in (
        ("--account", "12DIGITS"),
        ("--organization", "ARN"),
        ("--organizational-unit", "ARN"),
    ):
        group.add_argument(
            option, action="append", default=[], metavar=metavar, help="may be given again"
        )
    group.add_argument("--public", action="store_true", help="everybody who has an AWS account")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--remove", action="store_true", help="they may not launch it any more")
    how.add_argument("--reset", action="store_true", help="nobody but the owner may launch it")
    how.add_argument("--list", action="store_true", help="print who may launch it")
    parser.add_argument(
        "--yes", "-y", action="store_true", help="for --public, where there is no terminal to ask"
    )


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Share an AMI."""
    permissions = _permissions(arguments)
    is_alone = arguments.reset or arguments.list
    if is_alone == bool(permissions):
        raise UsageError(
            "ami share: expected --account, --organization, --organizational-unit or --public, "
            "or else --reset or --list"
        )
    is_publishing = arguments.public and not (arguments.remove or arguments.dry_run)
    if is_publishing and not arguments.yes and not console.has_terminal():
        raise UsageError("ami share: there is no terminal to ask on: --public needs --yes")
    change = open_change(arguments)
    if arguments.list:
        return _list(change)
    image_id = change.image.image_id
    if arguments.reset:
        call = change.call("ResetImageAttribute", Attribute="launchPermission")
        return change.run([call], f"reset the launch permissions of AMI {image_id}", console)
    facts = {} if arguments.remove else {"bundle": _check(change, console)}
    if is_publishing:
        _ask(change, console, is_asking=not arguments.yes)
    return _modify(change, permissions, console, facts, is_removing=arguments.remove)


def _permissions(arguments: argparse.Namespace) -> list[LaunchPermission]:
    found = [
        LaunchPermission.parse(kind, who)
        for option, kind in _KINDS.items()
        for who in getattr(arguments, option)
    ]
    if arguments.public:
        found.append(LaunchPermission.parse(PermissionKind.GROUP, EVERYBODY))
    return list(dict.fromkeys(found))


def _list(change: ImageChange) -> Result:
    with change.explained():
        found = change.images.launch_permissions(change.image.image_id)
    return Result(
        text="\n".join(one.describe() for one in found),
        facts={
            "image_id": change.image.image_id,
            "region": change.images.region,
            "launch_permissions": permission_facts(found),
        },
    )


def _modify(
    change: ImageChange,
    permissions: Sequence[LaunchPermission],
    console: Console,
    facts: Mapping[str, object],
    *,
    is_removing: bool,
) -> Result:
    elements = [one.element for one in permissions]
    step = "Remove" if is_removing else "Add"
    call = change.call("ModifyImageAttribute", LaunchPermission={step: elements})
    who = ", ".join(one.describe() for one in permissions)
    words = "stop sharing" if is_removing else "share"
    subject = f"{words} AMI {change.image.image_id} with {who}"
    return change.run([call], subject, console, facts=facts)


def _check(change: ImageChange, console: Console) -> object:
    """Warn of what keeps the new ones from launching it, and say whether they may copy it.

    To launch it they need no access to S3: EC2 does.  What is known of the bundle, for programs;
    None when there is none.
    """
    image_id = change.image.image_id
    if change.image.state != "available":
        console.warn(f"AMI {image_id} is {change.image.state}: nobody can launch it now")
    if not change.image.is_s3_backed:
        return None
    bundle = bundle_of(change.cloud, change.image, console)
    if bundle is None:
        return None
    if bundle.state is RegisteredState.UNKNOWN:
        console.warn(
            f"whether EC2 can read the bundle of AMI {image_id} is not known: {bundle.problem}"
        )
    elif bundle.state is not RegisteredState.COMPLETE:
        console.warn(
            f"nobody can launch AMI {image_id}: its bundle is {bundle.state.value}: "
            f"{bundle.problem}"
        )
    elif bundle.is_shared is False:
        console.warn(
            f"EC2 may be unable to read the bundle of AMI {image_id}: the ACLs of "
            f"{bundle.location.url}, or of its parts, let their owner alone read them; upload it "
            "with the ACL aws-exec-read"
        )
    if bundle.state is RegisteredState.COMPLETE:
        console.note(_describe_copying(image_id, bundle))
    return bundle_facts(bundle, None)


def _describe_copying(image_id: str, bundle: RegisteredBundle) -> str:
    """Whether those whom it is shared with may copy it, as far as ACLs tell."""
    location = bundle.location
    words = f"to copy AMI {image_id}, or to download its bundle, they must read it in S3"
    acls = describe_acls(bundle)
    if bundle.access is ObjectAccess.EVERYBODY:
        return f"{words}, as everybody may ({acls})"
    if bundle.access is ObjectAccess.HIDDEN:
        return f"{words}: whether they may is not known, as its ACLs are hidden"
    if bundle.access is ObjectAccess.OTHERS:
        return f"{words}: whether they may is not known, as ids in ACLs tell no account ({acls})"
    folder = location.key.rpartition("/")[0]
    objects = f"{location.bucket}/{folder}/*" if folder else f"{location.bucket}/*"
    return (
        f"{words}, and by its ACLs may not ({acls}): a bucket policy lets them that allows them "
        f"s3:GetObject on {objects} and s3:GetBucketAcl on {location.bucket}; to launch it they "
        "need neither"
    )


def _ask(change: ImageChange, console: Console, *, is_asking: bool) -> None:
    image_id = change.image.image_id
    console.warn(
        f"everybody will be able to launch AMI {image_id} and to read all that is on it, deleted "
        "files that can be recovered too: private keys, SSH host keys and authorized_keys, "
        "passwords, cloud credentials, shell histories, logs"
    )
    if is_asking and not console.confirm(f"Make AMI {image_id} public?"):
        raise UsageError(f"share AMI {image_id}: not confirmed; nothing is changed")
