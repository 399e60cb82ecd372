"""Makes releases from Debian packages."""
