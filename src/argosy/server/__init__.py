"""Runs beside clusters: the update service and discovery."""
