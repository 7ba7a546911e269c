"""Files are written whole or not at all."""

import errno
import os
import resource
from contextlib import contextmanager
from xml.etree import ElementTree

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from lunet_networks.bundle.runtime.files import figure_bytes, next_numbered, write_atomically


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


NAMES = ("$x^2$", r"$\frac$", "a_b$", r"$\undefined{$", r"\$", "100 %", "a\nb")


def test_texts_of_a_figure_are_drawn_as_they_are():
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(NAMES[0])
    for place, name in enumerate(NAMES):
        left.plot([0, 1], [place, place], label=name)
        left.text(0, place, name)
        left.annotate(name, (0.5, place))
    left.set(title=NAMES[1], xlabel=NAMES[2])
    left.set_yticks(range(len(NAMES)), NAMES)
    left.legend(title=NAMES[3])
    figure.legend()
    right.set(xscale="log", xlabel=NAMES[1])
    right.plot([1, 1e6], [0, 1])
    with rc_context({"svg.fonttype": "none"}):
        drawn = ElementTree.fromstring(figure_bytes(figure, format="svg"))
    texts = ["".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [name for name in NAMES[:6] if texts.count(name) < 5] == []
    assert not any("mathdefault" in text for text in texts), "powers of ten stay formulas"
    assert figure_bytes(figure, format="png").startswith(b"\x89PNG")


def test_a_font_that_lacks_characters_is_no_reason_to_warn(recwarn):
    figure = Figure()
    figure.suptitle("肝臓 كبد ตับ")
    figure_bytes(figure, format="png")
    assert [str(warning.message) for warning in recwarn] == []
