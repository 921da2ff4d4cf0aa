"""What is left out for its name, unless the user says otherwise.

*.pem, *.gpg and *.key are not here: CA bundles and the keyrings of package managers have such
names.  Private keys are found by what is in them (codec/secrets.py).
"""

from bundler.codec.rsync_pattern import Pattern, PatternRule, RuleList

_CREDENTIALS = (
    *(".aws/credentials", ".aws/cli/cache/", ".aws/sso/cache/", ".aws/login/cache/", ".boto"),
    *(".netrc", "_netrc", ".git-credentials", ".config/git/credentials", ".authinfo"),
    *(".authinfo.gpg", ".docker/config.json", ".dockercfg", ".config/containers/auth.json"),
    *(
        "/run/containers/**/auth.json",
        ".pgpass",
        ".my.cnf",
        ".mylogin.cnf",
        ".s3cfg",
        ".passwd-s3fs",
    ),
    *("/etc/passwd-s3fs", ".pypirc", ".kube/config", ".kube/cache/", ".gnupg/private-keys-v1.d/"),
    *(".gnupg/secring.gpg", ".config/gcloud/credentials.db", ".config/gcloud/access_tokens.db"),
    *(".config/gcloud/legacy_credentials/", ".config/gcloud/application_default_credentials.json"),
    *(
        ".azure/accessTokens.json",
        ".azure/msal_token_cache.*",
        ".azure/service_principal_entries.*",
    ),
    *(".config/gh/hosts.yml", ".config/hub", ".config/glab-cli/config.yml", ".vault-token"),
    *(".terraform.d/credentials.tfrc.json", ".terraformrc", ".config/rclone/rclone.conf"),
    *(".rclone.conf", ".cargo/credentials", ".cargo/credentials.toml", ".composer/auth.json"),
    *(".config/composer/auth.json", ".gem/credentials", ".local/share/gem/credentials"),
    *(".config/doctl/config.yaml", ".config/hcloud/cli.toml", ".oci/oci_api_key.pem"),
    *(".m2/settings-security.xml", ".smbcredentials", "/etc/krb5.keytab"),
)
_HISTORIES = (
    *(".bash_history", ".zsh_history", ".zhistory", ".sh_history", ".ash_history", ".ksh_history"),
    *(".history", ".local/share/fish/fish_history", ".python_history", ".mysql_history"),
    *(".psql_history", ".sqlite_history", ".rediscli_history", ".mongo_history", ".mongosh/"),
    *(".dbshell", ".node_repl_history", ".irb_history", ".pry_history", ".php_history", ".lesshst"),
    *(".viminfo", ".local/share/nvim/shada/", ".wget-hsts", ".rlwrap/", ".scala_history"),
    *(".bash_sessions/", ".zsh_sessions/", ".local/state/python_history"),
)
_MACHINE = (
    *("authorized_keys", "authorized_keys2", "ssh_host_*_key", "ssh_host_*_key.pub"),
    *("ssh_host_*_key-cert.pub", "ssh_host_key", "ssh_host_key.pub"),
)
_CLOUD_INIT = (
    *("/var/lib/cloud/instance", "/var/lib/cloud/instances/*", "/var/lib/cloud/data/*"),
    *("/var/lib/cloud/sem/*", "/var/log/cloud-init*"),
    *("/var/lib/amazon/ssm/Vault/", "/var/lib/amazon/ssm/i-*/"),
)
_METADATA = ("imds-tokens/", ".aws_imds_token")
_STATE = (
    *("/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/var/lib/urandom/*"),
    *("/var/lib/random-seed", "/var/lib/dbus/machine-id", "/loader/random-seed"),
    *("/boot/loader/random-seed", "/boot/efi/loader/random-seed", "/efi/loader/random-seed"),
)
_NETWORK = ("/etc/udev/rules.d/70-persistent-net.rules",)
_LEFTOVERS = ("*~", "*.swp", "*.swo", ".#*", "#*#")


def _rules(
    patterns: tuple[str, ...],
    reason: str,
    *,
    is_secret: bool = False,
    takes_links: bool = False,
    takes_directories: bool = True,
) -> list[PatternRule]:
    return [
        PatternRule(
            pattern=Pattern.compile(pattern.encode()),
            is_include=False,
            reason=reason,
            is_secret=is_secret,
            takes_links=takes_links,
            takes_directories=takes_directories,
        )
        for pattern in patterns
    ]


NAME_RULES = RuleList(
    (
        *_rules(_CREDENTIALS, "credentials", is_secret=True),
        *_rules(_METADATA, "token of the instance metadata service", is_secret=True),
        *_rules(_HISTORIES, "history of a shell or program"),
        *_rules(_MACHINE, "key of ssh that a machine makes or gets for itself"),
        *_rules(_CLOUD_INIT, "data of the instance", takes_links=True),
        *_rules(_STATE, "state of this machine alone"),
        *_rules(_NETWORK, "names of this machine's network cards"),
        *_rules(_LEFTOVERS, "leftover of an editor", takes_links=True, takes_directories=False),
    )
)
"""A link by such a name is no secret (`.bash_history` is often one to /dev/null) and stays, but
for those of editors and of cloud-init."""

EMPTIED_PATHS = frozenset((b"etc/machine-id",))
"""Files that must be there, empty.  Source: machine-id(5), "First Boot Semantics"."""
