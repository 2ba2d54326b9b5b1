"""Files of other tools: what is no document, too large, too deep or ambiguous is refused in one message."""

import pytest

from cloud_hub.importing.errors import ImportFileError, ImportingError, ImportInvalidError
from cloud_hub.importing.reading import read_document
from cloud_hub.rollouts.yaml_source import MAX_BYTES, MAX_DEPTH

REFUSED = {
    "not JSON": b"{oops",
    "empty": b"",
    "not UTF-8": b"\xff\xfe{}",
    "twice": b'{"a": 1, "a": 2}',
    "NaN": b'{"a": NaN}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "half a pair": b'{"a": "\\ud800"}',
    "half a pair in a key": b'{"\\ud800": 1}',
    "digits": b"[" + b"9" * 5000 + b"]",
    "more behind": b"{} {}",
}


@pytest.mark.parametrize("yaml", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_message(name: str, yaml: bool) -> None:
    with pytest.raises(ImportInvalidError) as caught:
        read_document(REFUSED[name], "d.json", yaml=yaml)
    assert caught.value.where == "d.json"
    assert caught.value.fix


def test_a_file_may_have_so_many_bytes() -> None:
    read_document(b"[" + b" " * (MAX_BYTES - 2) + b"]", "d.json")
    with pytest.raises(ImportFileError) as caught:
        read_document(b"[" + b" " * (MAX_BYTES - 1) + b"]", "d.json")
    assert str(MAX_BYTES) in str(caught.value)


def test_depth_is_allowed_up_to_its_bound() -> None:
    read_document(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "d.json")
    with pytest.raises(ImportingError):
        read_document(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "d.json")


def test_brackets_in_texts_are_no_depth() -> None:
    assert read_document(b'["' + b"[" * 500 + b'\\"["]', "d.json") == ["[" * 500 + '"[']


def test_a_mark_of_byte_order_is_no_matter() -> None:
    assert read_document(b"\xef\xbb\xbf{}", "d.json") == {}


def test_yaml_is_plain_values() -> None:
    text = b"RecipeFormatVersion: 2020-01-25\n1: [a, 1.5, true]\n"
    assert read_document(text, "r.yaml", yaml=True) == {
        "RecipeFormatVersion": "2020-01-25",
        "1": ["a", 1.5, True],
    }


def test_no_text_of_the_file_is_in_the_message() -> None:
    with pytest.raises(ImportInvalidError) as caught:
        read_document(b'{"password": hunter2}', "d.json")
    assert "hunter2" not in str(caught.value)
    assert "line 1, column 14" in str(caught.value)
