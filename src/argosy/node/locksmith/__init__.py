"""Reboots that a cluster survives: strategies, windows, and the lock that machines share."""
