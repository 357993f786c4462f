"""Put what an environment runs into deployment files. Pure: only the bytes of references change."""
