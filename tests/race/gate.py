"""A gate that waits where it is told to: `python gate.py`. Without RACE_GATE it says yes at once."""

import os
import socket

if os.environ.get("RACE_GATE"):
    with socket.create_connection(("127.0.0.1", int(os.environ["RACE_GATE"])), timeout=300) as held:
        held.recv(1)
