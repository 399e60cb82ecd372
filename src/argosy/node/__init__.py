"""What runs on a machine of the cluster; it ships inside the image."""
