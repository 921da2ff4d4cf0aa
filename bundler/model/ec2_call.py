"""One request to EC2 as data, so that a plan can show what will be sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Call:
    """An operation of EC2's API and its parameters, as the API spells both."""

    operation: str
    """Such as "CopyImage"."""
    region: str
    """Where it is sent."""
    parameters: Mapping[str, object]

    def describe(self) -> str:
        """One line for people: ``CopyImage in eu-west-1: Name="web", ...``."""
        words = (f"{name}={json.dumps(value)}" for name, value in self.parameters.items())
        return f"{self.operation} in {self.region}: {', '.join(words)}"

    def facts(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "operation": self.operation,
            "region": self.region,
            "parameters": dict(self.parameters),
        }
