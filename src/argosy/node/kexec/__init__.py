"""A reboot that starts the next slot's kernel itself, past firmware and boot loader (REBOOT_METHOD=kexec)."""
