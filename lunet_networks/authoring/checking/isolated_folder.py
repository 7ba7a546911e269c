"""An empty folder without a network connection, where a bundle finds only what it brings along."""

import contextlib
import logging
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock


@contextlib.contextmanager
def isolated_folder() -> Iterator[Path]:
    """Within the block the current folder is an empty one, no connection can be made, and nothing is logged."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = OSError("it asks for a network connection")
        connect, resolve = mock.patch("socket.socket.connect"), mock.patch.object(socket, "getaddrinfo")
        disabled = logging.root.manager.disable
        with connect as connect_, resolve as resolve_:
            connect_.side_effect = resolve_.side_effect = refused
            logging.disable(logging.ERROR)
            try:
                yield Path(folder)
            finally:
                logging.disable(disabled)
