"""The nspawn driver: machines are containers with the release's own systemd as PID 1, on the host's kernel.

About two seconds and 30 MiB a machine, as root. What such a machine is not:

- There is no boot chain: no firmware, boot loader, initrd or kernel of the release, and no slots (`slot` is
  null). /usr is the release's EROFS image mounted read-only through a loop device; its verity tree is not
  used, so nothing notices a flipped bit.
- It is not isolated from the host as a virtual machine is: its root is the host's root. Run in it what you
  would run on the host.
- `kill` ends all processes at once, but the host's page cache survives: it is a crash, not a power cut.
- `--memory` and `--cpus` are not applied: machines share the host's.
- Machines reach each other and the cluster's own server, and nothing beyond.

A machine's root is a plain folder of the host. What it needs mounted is mounted in a mount namespace of its
own, its network is in a network namespace that the forwarder's process holds: when the processes are gone,
however they ended, so is all the rest.
"""
