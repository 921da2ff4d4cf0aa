"""How far a machine's clock may be off before AWS refuses its requests."""

S3_MAX_SKEW = 15 * 60
"""Seconds from which S3 refuses.  Source: S3 error code RequestTimeTooSkewed."""

EC2_MAX_SKEW = 5 * 60
"""Seconds from which EC2 refuses.  Source: EC2 error code RequestExpired."""

NOTED_SKEW = 60
"""Seconds from which a clock is worth a warning; our choice."""


def describe_skew(seconds: float) -> str:
    """Such as "12 s behind AWS's clock"; `seconds` are positive when this machine is ahead."""
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} AWS's clock"
