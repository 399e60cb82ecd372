"""Argosy: a minimal, self-updating cluster operating system made from Debian packages."""
