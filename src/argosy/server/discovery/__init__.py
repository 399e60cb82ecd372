"""Discovery: where the members of a new etcd cluster find one another."""
