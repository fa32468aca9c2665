"""Rows read as they are needed, out of files that nobody vouches for."""

import json

import polars as pl
import pytest

from r1zero.importing import rows
from r1zero.importing.rows import RowError, csv_rows, json_rows, parquet_rows


def test_an_array_is_read_element_by_element_however_blocks_fall(tmp_path, monkeypatch):
    elements = [{"a": "x" * i, "b": [i, {"c": '\\"]}{['}]} for i in range(40)]
    file = tmp_path / "a.json"
    file.write_text(json.dumps(elements, indent=2))
    for block in (1, 3, 7, 64, 1 << 20):
        monkeypatch.setattr(rows, "BLOCK", block)
        assert [row.fields for row in json_rows(file)] == elements


def test_only_a_few_elements_of_an_array_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 100)
    file = tmp_path / "a.json"
    file.write_text("[" + ",".join(['{"a": 1}'] * 50) + ", broken]")
    read = json_rows(file)
    assert [next(read).place for _ in range(50)] == [f"element {i}" for i in range(1, 51)]
    with pytest.raises(RowError, match="element 51: not JSON"):
        next(read)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[{"a": 1}, {"b": 2', "element 2: not JSON .the file ends within it"),
        ('[{"a": 1}', "element 2: not JSON"),
        ('[{"a": 1}] [', "after element 1: the array ends, and more follows"),
        ("[1]", "element 1: int, not an object"),
        ('{"a": 1}\n{"a": \n', "line 2: not JSON"),
        ('{"a": 1}\n[1]\n', "line 2: list, not an object"),
        ("[" + '{"a":' * 100_000, "element 1: not JSON"),
        ('{"a":' * 100_000, "line 1: not JSON"),
    ],
)
def test_broken_json_is_named_by_its_place(text, fault, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RowError, match=fault):
        list(json_rows(tmp_path / "a.json"))


def test_bytes_that_are_no_utf8_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(RowError, match="not UTF-8"):
        list(json_rows(tmp_path / "a.jsonl"))


def test_csv_fields_may_hold_lines_commas_and_quotes(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeffresponse,gold\n"a ""b"",\nc",4\nd,\n', encoding="utf-8")
    first, second = csv_rows(tmp_path / "a.csv")
    assert (first.place, first.fields) == ("line 3", {"response": 'a "b",\nc', "gold": "4"})
    assert second.fields == {"response": "d", "gold": ""}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n1,2\n3\n", "line 3: not as many fields as the header's 2"),
        ("a,b\n1,2,3\n", "line 2: not as many fields"),
        ("a,a\n1,2\n", "line 1: two columns are called 'a'"),
        ('a,b\n"1,2\n', "line 2: not csv"),
    ],
)
def test_broken_csv_is_named_by_its_line(text, fault, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RowError, match=fault):
        list(csv_rows(tmp_path / "a.csv"))


def test_parquet_is_read_batch_by_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "BATCH", 3)
    pl.DataFrame({"a": range(8)}).write_parquet(tmp_path / "a.parquet", row_group_size=2)
    read = list(parquet_rows(tmp_path / "a.parquet"))
    assert [row.fields["a"] for row in read] == list(range(8))
    assert read[-1].place == "row 8"
