"""Calls about AMIs that moto answers with an error of its own, answered as EC2 would."""

import pytest
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.amis import AmisResponse


def hide_image_references(monkeypatch: pytest.MonkeyPatch, code: str = "InvalidAction") -> None:
    """Let EC2 be one without DescribeImageReferences, as older ones are, or one that refuses."""

    def refuse(response: AmisResponse) -> ActionResult:
        raise EC2ClientError(code, "DescribeImageReferences is not valid here.")

    monkeypatch.setattr(AmisResponse, "describe_image_references", refuse, raising=False)
