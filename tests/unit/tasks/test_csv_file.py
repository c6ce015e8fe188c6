"""Reading CSV files: what comes out, and what is said of a file that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_leadsquared.exceptions import RowSourceError, UnusableFileError
from airflow_provider_leadsquared.tasks.row_sources.csv_file import read_csv
from tests import canaries

Read = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.csv"


@pytest.fixture
def read(file: Path) -> Read:
    """Write a text (or bytes) to a file, and read it."""

    def read(text: str | bytes, **arguments: Any) -> list[dict[str, Any]]:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with read_csv(str(file), **arguments) as rows:
            return [dict(zip(rows.columns, row, strict=True)) for row in rows]

    return read


def test_rows_have_their_values_under_the_columns_names(read: Read):
    assert read("ID, Email \n7,a@example.org\n8,b@example.org\n") == [
        {"ID": "7", "Email": "a@example.org"},
        {"ID": "8", "Email": "b@example.org"},
    ]


def test_an_empty_cell_is_null(read: Read):
    assert read("ID,City\n7, \n") == [{"ID": "7", "City": None}]


def test_other_texts_can_stand_for_null(read: Read):
    rows = read("City,Stage,Plan\n,Select, n/a \n", null_values=["Select", " n/a"])

    assert rows == [{"City": "", "Stage": None, "Plan": None}]


def test_blank_lines_are_no_rows(read: Read):
    assert read("ID,City\n\n7,Pune\n\n8,Oslo\n\n") == [{"ID": "7", "City": "Pune"}, {"ID": "8", "City": "Oslo"}]


def test_a_header_alone_is_a_file_without_rows(read: Read):
    assert read("Email\n") == []


def test_a_quoted_value_may_hold_delimiter_quote_and_line_break(read: Read):
    assert read('ID,Notes\n7,"one, ""two""\nthree"\n') == [{"ID": "7", "Notes": 'one, "two"\nthree'}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(read: Read, end: str):
    assert read(f"ID,City{end}7,Pune{end}") == [{"ID": "7", "City": "Pune"}]


@pytest.mark.parametrize("arguments", [{}, {"encoding": "utf-8"}, {"encoding": "UTF8"}])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_a_byte_order_mark_is_no_part_of_the_first_name(read: Read, mark: str, arguments: Any):
    assert read(f'{mark}"Email"\r\na@example.org\r\n', **arguments) == [{"Email": "a@example.org"}]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8"])
def test_a_file_is_read_in_its_encoding(read: Read, encoding: str):
    assert read("Ort\nKöln\n".encode(encoding), encoding=encoding) == [{"Ort": "Köln"}]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_can_be_named(read: Read, delimiter: str):
    assert read(f"ID{delimiter}City\n7{delimiter}Agra, Delhi\n", delimiter=delimiter) == [
        {"ID": "7", "City": "Agra, Delhi"}
    ]


def test_the_file_is_read_as_rows_are_asked_for(file: Path):
    file.write_text("Email\n" + "a@example.org\n" * 5_000 + "b@example.org,too many\n")

    with read_csv(str(file)) as rows:
        assert next(iter(rows)) == ["a@example.org"]
        with pytest.raises(UnusableFileError, match="line 5002"):
            list(rows)


UNUSABLE: list[tuple[str | bytes, str]] = [
    ("", "line 1 is empty; it must name the columns"),
    ("\n\n", "line 1 is empty"),
    (" , \n", "line 1 is empty"),
    ("Email,Email\na,b\n", "line 1 has columns of the same name: Email; rename"),
    ("Email,,City\na,b,c\n", "line 1 has no name for column 2; write one"),
    ("Email;City\na@example.org;Pune\n", "set delimiter=';'"),
    ("Email\tCity\na@example.org\tPune\n", r"set delimiter='\t'"),
    ("ID,Email\n7,a@example.org\n8\n", "line 3: 1 values for 2 columns; correct the line"),
    ("ID,City\n7,Pune\n\n8,asha@example.org,Oslo\n9,Agra\n", "line 4: 3 values for 2 columns; correct the line"),
    ('ID,Notes\n7,"two\nlines"\n8,a,b\n', "line 4: 3 values"),
    ('ID,Notes\n7,a\n8,"b\n9,c\n', "line 3 is no CSV: unexpected end of data; look for a double quote"),
    ('ID,Notes\n7,"asha@example.org"x\n', "line 2 is no CSV"),
    (b"Email,City\na@example.org,K\xf6ln\n", "line 2 is not UTF-8; set encoding to the file's own, such as 'cp1252'"),
    (b"ID,City\n" + b"asha@example.org,Agra\n" * 2_000 + b"7,K\xf6ln\n8,Pune\n", "line 2002 is not UTF-8"),
    (b"ID,City\r\n" + b"asha@example.org,Agra\r\n" * 2_000 + b"7,K\xf6ln\r\n", "line 2002 is not UTF-8"),
    ("Email\nasha@example.org\n".encode("utf-16"), "line 1 is not UTF-8"),
    ("Email,City\n".encode("utf-16-le"), "line 1 is not UTF-8"),
]


@pytest.mark.parametrize(("text", "complaint"), UNUSABLE)
def test_of_an_unusable_file_the_error_names_path_line_and_remedy(
    file: Path, read: Read, text: str | bytes, complaint: str
):
    with pytest.raises(UnusableFileError) as caught:
        read(text)

    assert str(caught.value).startswith(str(file))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(("text", "complaint"), UNUSABLE)
def test_no_error_or_cause_of_it_holds_a_value(read: Read, text: str | bytes, complaint: str):
    with pytest.raises(UnusableFileError) as caught:
        read(text)

    assert not canaries.found_in("\n".join(canaries.chain_of(caught.value)))


@pytest.mark.parametrize(
    "line", ["7,asha@example.org", "8,+91-9000000001", "9,9f3c1d52-0b6e-4f6c-9a5e-2d7f40b1c3aa", "a,090000 00001"]
)
def test_a_file_without_a_header_is_refused_and_its_first_line_not_shown(read: Read, line: str):
    with pytest.raises(
        UnusableFileError, match="line 1 has a value of a lead in column 2; put a line above it"
    ) as caught:
        read(f"{line}\n")

    assert line.partition(",")[2] not in str(caught.value)


def test_columns_may_be_called_by_a_date(read: Read):
    assert read("2026-01-01,email@work\n1,2\n") == [{"2026-01-01": "1", "email@work": "2"}]


def test_an_encoding_other_than_utf_8_is_named_in_the_error(read: Read):
    with pytest.raises(UnusableFileError, match="line 2 is not ascii; set encoding"):
        read("City\nKöln\n", encoding="ascii")


def test_a_text_that_its_encoding_cannot_begin_with_is_named(read: Read):
    with pytest.raises(UnusableFileError, match="line 1 is not utf-16; set encoding"):
        read(b"E\x00m\x00", encoding="utf-16")


def test_an_unusable_file_is_not_read_a_second_time(read: Read):
    """Airflow does not retry after this kind of error; a file that is not there yet may come."""
    with pytest.raises(AirflowFailException):
        read("")


def test_a_missing_file_is_named(tmp_path: Path):
    with (
        pytest.raises(RowSourceError, match=r"nowhere\.csv cannot be read: No such file.*The worker must see"),
        read_csv(str(tmp_path / "nowhere.csv")),
    ):
        pass


def test_a_missing_file_may_come_before_the_next_try(tmp_path: Path):
    with pytest.raises(RowSourceError) as caught, read_csv(str(tmp_path / "nowhere.csv")):
        pass

    assert not isinstance(caught.value, AirflowFailException)


def test_a_directory_is_no_file(tmp_path: Path):
    with pytest.raises(RowSourceError, match="cannot be read: Is a directory"), read_csv(str(tmp_path)):
        pass


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"path": ""}, "path is empty"),
        ({"delimiter": ""}, "delimiter is ''; write one character"),
        ({"delimiter": ";;"}, "delimiter is ';;'"),
        ({"delimiter": '"'}, "delimiter is"),
        ({"encoding": "klingon"}, "encoding is 'klingon', which Python does not know"),
        ({"encoding": "base64"}, "encoding is 'base64', which Python does not know"),
        ({"encoding": None}, "encoding is None"),
        ({"null_values": "Select"}, "null_values must be a list"),
        ({"null_values": [None]}, "null_values must be a list"),
        ({"null_values": None}, "null_values must be a list"),
    ],
)
def test_a_wrong_argument_is_refused(file: Path, arguments: dict[str, Any], complaint: str):
    file.write_text("Email\n")

    with pytest.raises(ValueError, match=complaint), read_csv(**{"path": str(file), **arguments}):
        pass


def test_the_file_is_closed_after_the_block(file: Path):
    file.write_text("Email\na@example.org\n")
    with read_csv(str(file)) as rows:
        pass

    with pytest.raises(ValueError, match="closed file"):
        list(rows)
