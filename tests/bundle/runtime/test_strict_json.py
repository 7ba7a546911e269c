"""JSON files that are not what they should be."""

import pytest

from lunet_networks.bundle.runtime.strict_json import MOST_MIB, read_json


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"name": "\xc3\xa4"}')
    assert read_json(tmp_path / "a.json") == {"name": "ä"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value, line 1, column 1"),
        (b'{"a" 1}', "Expecting ':' delimiter, line 1, column 6"),
        (b"\xff\xfea", "it is not UTF-8 text"),
        (b'{"a": {"1": "b", "2": "c", "1": "d"}}', "the key '1' is there 2 times"),
        (b'{"a": NaN}', "it holds NaN, which is no number"),
        (b'{"a": -Infinity}', "it holds -Infinity"),
        (b"[" * 100_000 + b"]" * 100_000, "recursion"),
        (b"9" * 5000, "Exceeds the limit"),
    ],
)
def test_what_is_not_valid(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json is not valid JSON: .*{message}"):
        read_json(tmp_path / "a.json")


def test_deep_lists(tmp_path):
    (tmp_path / "a.json").write_text("[" * 20 + "]" * 20)
    read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[" * 21 + "]" * 21)
    with pytest.raises(ValueError, match=r"a\.json cannot be read: it holds more than 20 lists within one another"):
        read_json(tmp_path / "a.json")


def test_a_folder_and_a_huge_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder: it has to be a file"):
        read_json(tmp_path)
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate((MOST_MIB + 50) * 2**20)
    with pytest.raises(ValueError, match=r"a\.json has 100 MiB: files of more than 50 MiB are not read"):
        read_json(tmp_path / "a.json")
