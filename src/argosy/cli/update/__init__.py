"""The commands of the update service: publish releases, steer channels and groups, look at machines."""

from argosy.cli.update.parsers import add_commands

__all__ = ["add_commands"]
