"""Bundle, upload, register and unbundle EC2 S3-backed (instance store-backed) AMIs."""

__version__ = "0.1.0"
