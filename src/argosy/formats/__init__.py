"""Bytes to frozen types and back; no I/O."""
