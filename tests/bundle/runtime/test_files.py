"""Files are written whole or not at all."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest

from lunet_networks.bundle.runtime.files import next_numbered, write_atomically


@contextmanager
def small_disk():
    """The system refuses to write more than a kilobyte, as a full disk does, somewhere in the middle.

    No fixture: pytest's own report would meet the limit before a fixture ends.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.pt"
    write_atomically(path, b"older")
    with (
        pytest.raises(OSError, match=r"cannot write .*model\.pt .*the old file is unchanged") as caught,
        small_disk(),
    ):
        write_atomically(path, b"x" * 5000)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["model.pt"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "models").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*model\.pt .*the file does not exist"):
        write_atomically(tmp_path / "models" / "model.pt", b"")


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    (tmp_path / ".model.pt.tmp").write_bytes(b"half")
    write_atomically(tmp_path / "model.pt", b"whole")
    assert os.listdir(tmp_path) == ["model.pt"]


def test_a_numbered_copy_has_a_number_above_all_others(tmp_path):
    for name in (
        "model_before_2.pt",
        "model_before_10.pt",
        "model_before_.pt",
        "model_before_99.txt",
        "my_model_before_50.pt",
    ):
        (tmp_path / name).touch()
    assert next_numbered(tmp_path / "model_before_*.pt") == tmp_path / "model_before_11.pt"
    assert next_numbered(tmp_path / "set_aside_*") == tmp_path / "set_aside_1"
