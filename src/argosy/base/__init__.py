"""What every zone stands on: processes, files, errors, decoding, logging, HTTP and etcd."""
