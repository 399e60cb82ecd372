"""Units for a cluster: an engine gives them to machines, on each an agent runs them through systemd."""
