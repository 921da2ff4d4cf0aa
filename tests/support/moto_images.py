"""Calls about AMIs that moto answers with an error of its own, answered as EC2 would."""

import pytest
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.amis import AmisResponse


def hide_image_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let EC2 be one without DescribeImageReferences, as older ones are."""

    def refuse(response: AmisResponse) -> ActionResult:
        raise EC2ClientError(
            "InvalidAction", "The action DescribeImageReferences is not valid for this web service."
        )

    monkeypatch.setattr(AmisResponse, "describe_image_references", refuse, raising=False)
