"""What holds images: a registry, an OCI image layout, the Docker Engine."""
