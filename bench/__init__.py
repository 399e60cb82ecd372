"""Measurements, as ratios against named references in the same run. `python -m bench --help` tells more."""
