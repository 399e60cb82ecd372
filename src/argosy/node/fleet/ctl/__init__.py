"""The parts of `fleetctl`: the connection, the commands and what they print."""
