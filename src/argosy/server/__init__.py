"""Runs beside clusters: the discovery service."""
