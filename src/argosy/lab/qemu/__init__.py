"""Machines as virtual machines: firmware, GRUB, kernel, verity; no root needed."""
