"""What AWS's error codes and botocore's error classes mean to a caller, and what helps."""

from bundler.errors import AwsRefusedError, BundlerError, MissingError, TransferError, UsageError

HEAD_CODES = {
    "301": "PermanentRedirect",
    "307": "TemporaryRedirect",
    "400": "BadRequest",
    "403": "AccessDenied",
    "404": "NotFound",
}
"""Codes of replies to HEAD, which have no body to tell more.  Source: HeadBucket."""

PASSING_CODES = frozenset(
    (
        "BadDigest",
        "BandwidthLimitExceeded",
        "ConcurrentLimitExceededException",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "InternalFailure",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
        "XAmzContentSHA256Mismatch",
    )
)
"""Codes, some with a status below 500, after which the same request may succeed later."""

UNSUPPORTED_CODES = frozenset(("MalformedXML", "MethodNotAllowed", "NotImplemented"))
"""Codes of servers other than AWS that do not know a request, or not all that it says."""

CREDENTIAL_CODES = frozenset(
    (
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    )
)
"""Codes of credentials, or of a clock, that no service of AWS will take."""

THROTTLING_CODES = frozenset(
    (
        "503",
        "BandwidthLimitExceeded",
        "ConcurrentLimitExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    )
)
"""Codes by which a service asks for fewer requests; 503 is what HEAD has instead of SlowDown."""

_LOG_IN = "log in again (for IAM Identity Center: aws sso login)"
_SET_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with credentials"
)
_ALLOW = "the caller's IAM policy, or the bucket's policy, must allow it"
_CHECK_NETWORK = "check the network, the proxy, the region and the endpoint's URL"

_QUOTA = "terminate instances, or ask AWS for a higher quota (Service Quotas)"

REMEDIES = {
    "AccessControlListNotSupported": "EC2 reads bundles by the ACL aws-exec-read: --enable-acls "
    "sets the object ownership of a bucket of yours to BucketOwnerPreferred; or use another "
    "bucket, or --acl none where EC2 need not read the bundle",
    "AccessDenied": _ALLOW,
    "AccessDeniedException": "the caller's IAM policy must allow it (ebs:StartSnapshot, "
    "ebs:PutSnapshotBlock, ebs:CompleteSnapshot; to read, ebs:ListSnapshotBlocks and "
    "ebs:GetSnapshotBlock) and, for encrypted snapshots, the KMS key; what others have only "
    "made public must be copied first",
    "AccessForbidden": _ALLOW,
    "AllAccessDisabled": "AWS has disabled the bucket: ask AWS Support",
    "AuthFailure": "check the access key and its secret, this machine's clock, and that the region "
    "is enabled for the account (aws sts get-caller-identity tells whose key it is)",
    "AuthorizationHeaderMalformed": "the bucket is in another region: give that region",
    "BadDigest": "the bytes were damaged on the way",
    "BadRequest": "check the region, and that the credentials have not expired",
    "BucketAlreadyExists": "bucket names are worldwide: choose another one",
    "ConflictException": "another snapshot was started with this client token: --no-resume "
    "begins anew",
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "IllegalLocationConstraintException": "give the region where the bucket is to be",
    "IdempotentParameterMismatch": "the client token was used with other parameters: give another "
    "one (--client-token), or the same parameters",
    "InaccessibleStorageLocation": "EC2 may not read what is there: the bucket's policy must have "
    "no Deny that EC2 falls under, such as one of all accounts or networks but one's own, and "
    "manifest and parts need the ACL aws-exec-read",
    "IncorrectInstanceState": "wait until the instance is running or stopped",
    "IncorrectState": "wait until it is in the state that is needed: a snapshot completed, an "
    "instance running or stopped, an AMI available",
    "InstanceLimitExceeded": _QUOTA,
    "InsufficientInstanceCapacity": "AWS has no more of that type there now: try again later, or "
    "another type or subnet",
    "InternalError": "AWS has failed: try again later",
    "InvalidAMIAttributeItemValue": "check the account's number, or the ARN: EC2 knows no such "
    "account, organization or organizational unit",
    "InvalidAMIID.Malformed": "an AMI's id is ami- and 8 or 17 hexadecimal digits",
    "InvalidAMIID.NotFound": "check the id and the region; one that is new may take some seconds",
    "InvalidAMIID.Unavailable": "it is pending (try again when it is available), disabled "
    "(ami-bundler ami enable), or deregistered already",
    "InvalidAMIName.Duplicate": "choose another AMI name (--name), such as one with the date, or "
    "deregister the AMI that has it",
    "InvalidAMIName.Malformed": "a name has 3 to 128 letters, digits, blanks or ()[]./-'@_",
    "InvalidAccessKeyId": "check the access key and that its partition is the region's",
    "InvalidArgument": "if it is the ACL: servers other than AWS may not know aws-exec-read; "
    "--acl none sends none",
    "InvalidBlockDeviceMapping": "check the block device mapping: the root device of an S3-backed "
    "AMI cannot be mapped, and no volume is smaller than its snapshot (ami-bundler ami show tells "
    "what the AMI maps)",
    "InvalidBucketName": "a name has 3 to 63 lower-case letters, digits, dots and hyphens",
    "InvalidClientTokenId": "check the access key and that its partition is the region's",
    "InvalidGroup.NotFound": "check the security group's id, and that it is of the subnet's VPC",
    "InvalidInstanceID.NotFound": "check the instance's id and the region",
    "InvalidInstanceType": "check the instance type's name, and that the region has it (aws ec2 "
    "describe-instance-type-offerings)",
    "InvalidKernelId.Malformed": "a kernel's id is aki- and 8 hexadecimal digits",
    "InvalidKeyPair.NotFound": "check the key pair's name and the region (aws ec2 "
    "describe-key-pairs)",
    "InvalidManifest": "usual causes: the bucket is in another region; EC2 may not read the "
    "objects (ACL aws-exec-read); the EC2 certificate is another partition's; the manifest was "
    "changed after it was signed; product codes that are not the caller's",
    "InvalidParameterCombination": "the options do not go together, or the instance type does not "
    "fit the AMI's architecture, virtualization or root device (ami-bundler ami show tells them)",
    "InvalidRegion": "check the region's name, and that it is enabled for the account (aws ec2 "
    "describe-regions --all-regions)",
    "InvalidRequest": "the AMI cannot be copied there so: check both regions, and that it is yours "
    "or shared with its snapshots",
    "InvalidSecurity.RequestHasExpired": "check this machine's clock",
    "InvalidSnapshot.InUse": "an AMI still needs the snapshot: deregister that first",
    "InvalidSnapshot.NotFound": "check the snapshot's id and the region",
    "InvalidSubnetID.NotFound": "check the subnet's id and the region (aws ec2 describe-subnets)",
    "InvalidToken": _LOG_IN,
    "NoSuchBucket": "check the bucket's name and the region",
    "NoSuchKey": "check the name and prefix; the bundle may not be uploaded completely",
    "NotFound": "check the bucket's name, the prefix and the region",
    "OperationNotPermitted": "it may be protected: from deregistration, from being stopped, or "
    "from being public (EC2's block public access for AMIs)",
    "OptInRequired": "subscribe the account to the service, or enable the region",
    "PermanentRedirect": "the bucket is in another region: give that region",
    "PreconditionFailed": "the object was changed while it was read: try again",
    "RequestExpired": f"temporary credentials have expired: {_LOG_IN}; if they have not, check "
    "this machine's clock",
    "RequestLimitExceeded": "EC2 asks for fewer requests: try again later",
    "RequestTimeTooSkewed": "check this machine's clock",
    "ResourceLimitExceeded": "wait until some of the copies or snapshots that are pending there "
    "are done, and run the same command again (a region takes 100 copies at a time)",
    "ResourceNotFoundException": "check the snapshot's id and the region; EBS gives up a snapshot "
    "that is not completed within a day: run the command again, with --no-resume if need be",
    "ServiceQuotaExceededException": "delete snapshots, or ask AWS for a higher quota",
    "SignatureDoesNotMatch": "check the secret access key, and this machine's clock",
    "SlowDown": "S3 asks for fewer requests: try again later",
    "TagLimitExceeded": "an AMI has at most 50 tags: remove some first",
    "TemporaryRedirect": "the bucket is new: try again in an hour, or give its own region",
    "TooManyBuckets": "delete a bucket, or use one that exists",
    "UnauthorizedOperation": "the caller's IAM policy must allow it",
    "UnrecognizedClientException": "check the access key and that the region is enabled",
    "UnsupportedOperation": "not with such an AMI, or not in this region: S3-backed AMIs are "
    "registered without EBS volumes, are never encrypted, and boot on Xen types alone",
    "VPCIdNotSpecified": "there is no default VPC: name a subnet (--subnet-id)",
    "VcpuLimitExceeded": _QUOTA,
}
"""What to do about a code; a code that speaks for itself has no entry."""

CLIENT_FAILURES: dict[str, tuple[type[BundlerError], str]] = {
    "ConfigNotFound": (UsageError, "check AWS_CONFIG_FILE"),
    "ConfigParseError": (UsageError, "repair the AWS configuration file"),
    "ConnectTimeoutError": (TransferError, _CHECK_NETWORK),
    "CredentialRetrievalError": (AwsRefusedError, _LOG_IN),
    "EndpointConnectionError": (TransferError, _CHECK_NETWORK),
    "EndpointProviderError": (UsageError, "check the region and the endpoint's URL"),
    "FlexibleChecksumError": (TransferError, "the bytes were damaged on the way or in S3"),
    "InvalidConfigError": (UsageError, "repair the AWS configuration file"),
    "InvalidEndpointConfigurationError": (UsageError, "check the endpoint's URL"),
    "LoginError": (AwsRefusedError, "log in again (aws login)"),
    "MissingDependencyException": (MissingError, "install it, such as by botocore[crt]"),
    "NoAuthTokenError": (AwsRefusedError, _LOG_IN),
    "NoCredentialsError": (UsageError, _SET_CREDENTIALS),
    "NoRegionError": (UsageError, "give a region"),
    "ParamValidationError": (UsageError, ""),
    "PartialCredentialsError": (UsageError, _SET_CREDENTIALS),
    "ProfileNotFound": (UsageError, "`aws configure list-profiles` shows those there are"),
    "ProxyConnectionError": (TransferError, "check the proxy's URL"),
    "ResponseParserError": (TransferError, "the reply was not AWS's: check the endpoint's URL"),
    "SSLError": (TransferError, "check the certificates (AWS_CA_BUNDLE) and the endpoint's URL"),
    "SSOError": (AwsRefusedError, _LOG_IN),
    "TokenRetrievalError": (AwsRefusedError, _LOG_IN),
    "UnknownRegionError": (UsageError, "check the region"),
    "ValidationError": (UsageError, ""),
}
"""botocore's error classes by name, as some are newer than the botocore that we need; a class
stands for its subclasses, and the network has failed where there is none."""
