"""A cloud on this machine: moto, and an EC2 that knows S3-backed AMIs; for demo and tests."""
