"""First-boot (and every-boot) configuration: user-data and metadata -> the machine. `coreos-cloudinit`."""
