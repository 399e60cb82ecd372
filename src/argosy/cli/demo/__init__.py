"""`argosy demo`: rollouts from nothing, with proof. They type commands that their reader could type."""

from argosy.cli.demo.parsers import add_commands

__all__ = ["add_commands"]
