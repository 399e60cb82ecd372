"""Health probes: whether a version on trial is good, which alone decides whether it stays."""
