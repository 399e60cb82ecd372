"""How this machine is, and waiting until it is ready."""
