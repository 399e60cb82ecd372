"""The update engine: asks the update service, fetches a payload, puts it into the standby slot, arms it."""
