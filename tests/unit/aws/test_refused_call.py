"""EC2's words behind a code, and rights that are lacking."""

import pytest

from bundler.aws.refused_call import call_remedy, denial_remedy, split_denial

USER = "arn:aws:iam::123456789012:user/web"
REASON = "because no identity-based policy allows the ec2:CopyImage action"
NAMED = f"User: {USER} is not authorized to perform: ec2:CopyImage on resource: * {REASON}."


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        ("AuthFailure", "Not authorized for image:ami-1", "only the AMI's owner may"),
        ("AuthFailure", "AWS was not able to validate the provided access credentials", ""),
        ("OperationNotPermitted", "You can't publicly share this image because", "accounts alone"),
        ("OperationNotPermitted", "deregistration protection is on", "protect ID --off"),
        ("OperationNotPermitted", "The instance may not be stopped", ""),
        ("InvalidRequest", "You do not have permission to access the storage of this ami", "owner"),
        ("InvalidRequest", "The request is not valid", ""),
        ("InvalidParameterValue", "Invalid value 'm9.huge' for InstanceType.", "type's name"),
        ("InvalidBlockDeviceMapping", "public storage of protected instance types", ""),
    ],
)
def test_one_code_has_many_causes(code: str, words: str, told: str) -> None:
    remedy = call_remedy(code, words)
    assert told in remedy
    assert bool(remedy) == bool(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (NAMED, "the caller's IAM policy must allow ec2:CopyImage"),
        (
            NAMED.replace(REASON, "with an explicit deny in a service control policy"),
            "a policy denies ec2:CopyImage: that Deny must go, no Allow helps",
        ),
        (
            "You are not authorized to perform this operation.",
            "the caller's IAM policy must allow it (ec2:RunInstances, or what that needs)",
        ),
    ],
)
def test_the_action_that_is_lacking_is_named(words: str, told: str) -> None:
    assert denial_remedy(words, "RunInstances", has_encoded=False) == told
    decoded = denial_remedy(words, "RunInstances", has_encoded=True)
    assert decoded.startswith(f"{told}; all reasons: aws sts decode-authorization-message ")


def test_the_encoded_message_is_taken_out_of_the_words() -> None:
    encoded = "QX-_yz0" * 100
    message = f"{NAMED} Encoded authorization failure message: {encoded}"
    assert split_denial(message) == (NAMED, encoded)
    assert split_denial(NAMED) == (NAMED, "")
