"""The keys of cloud-config: what each may hold, as coreos-cloudinit defined them.

The order of the keys in a section of options is the order of the `Environment=` lines written from it.
Reference: Container Linux's `cloud-config` documentation.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.Enum):
    """What a value must be; the value is how reports name it."""

    TEXT = "string"
    INTEGER = "int"
    NUMBER = "float64"
    FLAG = "bool"
    TEXTS = "[]string"
    SECTION = "struct"
    SECTIONS = "[]struct"


@dataclass(frozen=True)
class Key:
    """One key. `env`: its environment variable; `pattern`: what a value must match in full."""

    kind: Kind
    keys: Mapping[str, Key] = field(default_factory=dict)
    env: str = ""
    pattern: str = ""
    deprecated: str = ""


TEXT = Key(Kind.TEXT)
FLAG = Key(Kind.FLAG)

_LETTERS = {"s": Kind.TEXT, "i": Kind.INTEGER, "f": Kind.NUMBER, "b": Kind.FLAG}


def _options(prefix: str, text: str, special: Mapping[str, Key] | None = None) -> Key:
    """A section of options from words `key` or `key:letter` (s text, i integer, f number, b flag)."""
    keys = {}
    for word in text.split():
        name, _, letter = word.partition(":")
        keys[name] = Key(_LETTERS[letter or "s"], env=prefix + name.upper())
    return Key(Kind.SECTION, keys={**keys, **(special or {})})


ETCD = _options(
    "ETCD_",
    """addr advertise_client_urls bind_addr ca_file cert_file cluster_active_size:i cluster_remove_delay:f
    cluster_sync_interval:f cors data_dir discovery discovery_fallback discovery_srv discovery_proxy
    election_timeout:i force_new_cluster:b graphite_host heartbeat_interval:i http_read_timeout:f
    http_write_timeout:f initial_advertise_peer_urls initial_cluster initial_cluster_state
    initial_cluster_token key_file listen_client_urls listen_peer_urls max_result_buffer:i
    max_retry_attempts:i max_snapshots:i max_wals:i name peer_addr peer_bind_addr peer_ca_file peer_cert_file
    peer_election_timeout:i peer_heartbeat_interval:i peer_key_file peers peers_file proxy retry_interval:f
    snapshot:b snapshot_count:i trace verbose:b very_verbose:b very_very_verbose:b""",
    {"snapshot_count": Key(Kind.INTEGER, env="ETCD_SNAPSHOTCOUNT")},
)

ETCD2 = _options(
    "ETCD_",
    """advertise_client_urls ca_file cert_file client_cert_auth:b cors data_dir debug:b discovery
    discovery_fallback discovery_srv discovery_proxy election_timeout:i enable_pprof:b force_new_cluster:b
    heartbeat_interval:i initial_advertise_peer_urls initial_cluster initial_cluster_state
    initial_cluster_token key_file listen_client_urls listen_peer_urls log_package_levels max_snapshots:i
    max_wals:i name peer_ca_file peer_cert_file peer_key_file peer_client_cert_auth:b peer_trusted_ca_file
    proxy proxy_dial_timeout:i proxy_failure_wait:i proxy_read_timeout:i proxy_refresh_interval:i
    proxy_write_timeout:i snapshot_count:i strict_reconfig_check:b trusted_ca_file wal_dir""",
    {
        "ca_file": Key(
            Kind.TEXT, env="ETCD_CA_FILE", deprecated="use trusted_ca_file and client_cert_auth instead"
        ),
        "peer_ca_file": Key(
            Kind.TEXT,
            env="ETCD_PEER_CA_FILE",
            deprecated="use peer_trusted_ca_file and peer_client_cert_auth instead",
        ),
        "proxy": Key(Kind.TEXT, env="ETCD_PROXY", pattern=r"on|off|readonly"),
    },
)

FLEET = _options(
    "FLEET_",
    """agent_ttl authorized_keys_file disable_engine:b engine_reconcile_interval:f etcd_cafile etcd_certfile
    etcd_keyfile etcd_key_prefix etcd_request_timeout:f etcd_servers etcd_username etcd_password metadata
    public_ip token_limit:i verbosity:i verify_units:b""",
)

LOCKSMITH = _options(
    "LOCKSMITHD_",
    """endpoint etcd_cafile etcd_certfile etcd_keyfile etcd_username etcd_password group window_start
    window_length""",
    {
        "window_start": Key(
            Kind.TEXT,
            env="REBOOT_WINDOW_START",
            pattern=r"((?i:sun|mon|tue|wed|thu|fri|sat|sun) )?0*([0-9]|1[0-9]|2[0-3]):0*([0-9]|[1-5][0-9])",
        ),
        "window_length": Key(
            Kind.TEXT, env="REBOOT_WINDOW_LENGTH", pattern=r"[-+]?([0-9]*(\.[0-9]*)?[a-z]+)+"
        ),
    },
)

FLANNEL = _options(
    "FLANNELD_",
    """etcd_endpoints etcd_cafile etcd_certfile etcd_keyfile etcd_prefix etcd_username etcd_password ip_masq
    subnet_file interface public_ip""",
    {"interface": Key(Kind.TEXT, env="FLANNELD_IFACE")},
)

_IMPORT = "keys are not fetched from elsewhere; list them in ssh_authorized_keys"

USER = Key(
    Kind.SECTIONS,
    keys={
        "name": TEXT,
        "passwd": TEXT,
        "ssh_authorized_keys": Key(Kind.TEXTS),
        "coreos_ssh_import_github": Key(Kind.TEXT, deprecated=_IMPORT),
        "coreos_ssh_import_github_users": Key(Kind.TEXTS, deprecated=_IMPORT),
        "coreos_ssh_import_url": Key(Kind.TEXT, deprecated=_IMPORT),
        "gecos": TEXT,
        "homedir": TEXT,
        "no_create_home": FLAG,
        "primary_group": TEXT,
        "groups": Key(Kind.TEXTS),
        "no_user_group": FLAG,
        "system": FLAG,
        "no_log_init": FLAG,
        "shell": TEXT,
    },
)

FILE = Key(
    Kind.SECTIONS,
    keys={
        "encoding": Key(Kind.TEXT, pattern=r"base64|b64|gz|gzip|(gz|gzip)\+(base64|b64)"),
        "content": TEXT,
        "owner": TEXT,
        "path": TEXT,
        "permissions": Key(Kind.TEXT, pattern=r"0?[0-7]{3,4}"),
    },
)

UNIT = Key(
    Kind.SECTIONS,
    keys={
        "name": TEXT,
        "mask": FLAG,
        "enable": FLAG,
        "runtime": FLAG,
        "content": TEXT,
        "command": Key(
            Kind.TEXT,
            pattern=r"start|stop|restart|reload|try-restart|reload-or-restart|reload-or-try-restart",
        ),
        "drop_ins": Key(Kind.SECTIONS, keys={"name": TEXT, "content": TEXT}),
    },
)

UPDATE = Key(
    Kind.SECTION,
    keys={
        "reboot_strategy": Key(Kind.TEXT, env="REBOOT_STRATEGY", pattern=r"etcd-lock|reboot|off|best-effort"),
        "group": Key(Kind.TEXT, env="GROUP"),
        "server": Key(Kind.TEXT, env="SERVER"),
    },
)

OEM = Key(
    Kind.SECTION,
    keys={"id": TEXT, "name": TEXT, "version_id": TEXT, "home_url": TEXT, "bug_report_url": TEXT},
)

CLOUD_CONFIG = Key(
    Kind.SECTION,
    keys={
        "ssh_authorized_keys": Key(Kind.TEXTS),
        "coreos": Key(
            Kind.SECTION,
            keys={
                "etcd": ETCD,
                "etcd2": ETCD2,
                "flannel": FLANNEL,
                "fleet": FLEET,
                "locksmith": LOCKSMITH,
                "oem": OEM,
                "update": UPDATE,
                "units": UNIT,
            },
        ),
        "write_files": FILE,
        "hostname": TEXT,
        "users": USER,
        "manage_etc_hosts": Key(Kind.TEXT, pattern="localhost"),
    },
)
