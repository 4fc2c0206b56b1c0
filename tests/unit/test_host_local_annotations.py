"""Annotations from CSV files: what is read, what is skipped and said, what stops."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairx_hooks import Annotation
from pairx_plugin.errors import HostError
from pairx_plugin.hosts.local.annotations import AnnotationTable, read_annotations, select_queries

HEADER = "theta,viewpoint,name,file_name,species,file_path,x,y,w,h"
ROW = "0.25,left,Ngaio,a.png,kaka,2026/a.png,1,2.5,30,40"


def read(
    folder: Path, *rows: str, header: str = HEADER, end: str = "\n", start: bytes = b""
) -> AnnotationTable:
    path = folder / "annotations.csv"
    path.write_bytes(start + end.join([header, *rows]).encode() + end.encode())
    return read_annotations(path, folder / "photos")


def test_a_row_becomes_an_annotation(tmp_path: Path) -> None:
    table = read(tmp_path, ROW)
    (found,) = table.annotations
    assert table.problems == ()
    assert found.image == str(tmp_path / "photos/2026/a.png")
    assert (found.bbox, found.theta) == ((1.0, 2.5, 30.0, 40.0), 0.25)
    assert (found.name, found.species, found.viewpoint) == ("Ngaio", "kaka", "left")
    assert dict(found.extra) == {"file_name": "a.png", "file_path": "2026/a.png"}


def test_ids_stay_the_same_when_rows_and_folders_move(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = "0,,Rata,b.png,kaka,b.png,0,0,9,9"
    first, second = read(tmp_path, ROW, other).annotations
    moved = read(tmp_path / "elsewhere", other, ROW).annotations
    assert [item.annotation_id for item in moved] == [second.annotation_id, first.annotation_id]
    assert first.annotation_id.startswith("a-") and first.annotation_id != second.annotation_id
    turned = read(tmp_path, ROW.replace("0.25", "0.5")).annotations[0]
    assert turned.annotation_id == first.annotation_id
    reboxed = read(tmp_path, ROW.replace("2.5", "3")).annotations[0]
    assert reboxed.annotation_id != first.annotation_id


def test_a_uuid_column_gives_the_id(tmp_path: Path) -> None:
    table = read(tmp_path, f"{ROW},6d0e", f"{ROW},", header=f"{HEADER},uuid")
    assert table.annotations[0].annotation_id == "6d0e"
    assert table.annotations[1].annotation_id.startswith("a-")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old-mac"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
def test_line_ends_and_byte_order_mark_make_no_difference(tmp_path: Path, end: str, start: bytes) -> None:
    plain = read(tmp_path, ROW)
    assert read(tmp_path, ROW, end=end, start=start) == plain


def test_spaces_blank_lines_and_backslashes_make_no_difference(tmp_path: Path) -> None:
    spaced = " 0.25 , left , Ngaio , a.png , kaka , 2026\\a.png , 1 , 2.5 , 30 , 40 "
    table = read(tmp_path, "", spaced, ",,,,,,,,,", header=HEADER.replace(",", " , "))
    assert table == read(tmp_path, ROW)


def test_other_columns_are_kept_as_extra(tmp_path: Path) -> None:
    header, row = f",{HEADER},date", f"0,{ROW},2026-05-02"
    (found,) = read(tmp_path, row, header=header).annotations
    assert found.extra["date"] == "2026-05-02" and "" not in found.extra


@pytest.mark.parametrize("theta", ["", "nan", "NaN", "None"])
def test_an_unknown_angle_is_none(tmp_path: Path, theta: str) -> None:
    (found,) = read(tmp_path, ROW.replace("0.25", theta)).annotations
    assert found.theta is None


@pytest.mark.parametrize("name", ["", "____"])
def test_an_animal_without_a_name_has_none(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, ROW.replace("Ngaio", name)).annotations[0].name is None


def test_a_box_without_numbers_is_the_whole_photograph(tmp_path: Path) -> None:
    assert read(tmp_path, ROW.replace("1,2.5,30,40", ",,,")).annotations[0].bbox is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ROW.replace("2.5", "two"), "y must be a number, not 'two'"),
        (ROW.replace("2.5", ""), "y must be a number, not ''"),
        (ROW.replace("2.5", "nan"), "y must be finite, not 'nan'"),
        (ROW.replace("2.5", "inf"), "y must be finite, not 'inf'"),
        (ROW.replace("0.25", "inf"), "theta must be finite"),
        (ROW.replace("0.25", "north"), "theta must be a number, not 'north'"),
        (ROW.replace("2026/a.png", ""), "file_path must name a photograph"),
        (ROW.replace("Ngaio", "Nga\0io"), "NUL character"),
        (f"{ROW},7", "more cells than the header"),
        ("0.25,left,Ngaio", "fewer cells than the header, and nothing for: file_name"),
    ],
)
def test_a_bad_row_is_named_and_skipped_and_the_rest_goes_on(tmp_path: Path, row: str, words: str) -> None:
    good = "0,,Rata,b.png,kaka,b.png,0,0,9,9"
    table = read(tmp_path, good, row, good.replace("b.png", "c.png"))
    assert [item.name for item in table.annotations] == ["Rata", "Rata"]
    (problem,) = table.problems
    assert (problem.code, problem.where) == ("ROW_UNREADABLE", "row 3")
    assert problem.message.startswith("row 3 is skipped: ") and words in problem.message


@pytest.mark.parametrize("box", ["-5,-5,30,40", "0,0,0,0", "5,5,-3,9", "9000,9000,5,5"])
def test_boxes_that_are_numbers_are_left_to_whoever_cuts_the_chip(tmp_path: Path, box: str) -> None:
    (found,) = read(tmp_path, ROW.replace("1,2.5,30,40", box)).annotations
    assert found.bbox == tuple(float(part) for part in box.split(","))


def test_the_same_annotation_twice_stands_once(tmp_path: Path) -> None:
    table = read(tmp_path, ROW, ROW, ROW.replace("Ngaio", "Rata"))
    assert [item.name for item in table.annotations] == ["Ngaio"]
    assert [(item.code, item.where) for item in table.problems] == [
        ("ROW_DUPLICATE", "row 3"),
        ("ROW_DUPLICATE", "row 4"),
    ]
    assert "the same annotation again" in table.problems[0].message
    assert "the same id with other values" in table.problems[1].message


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        HostError, match=r"lack the columns file_path, w, theta.*'thetta' may be misspelt: nearest: 'theta'"
    ):
        read(tmp_path, "0", header="thetta,name,x,y,h")


def test_a_file_with_semicolons_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="separated by commas"):
        read(tmp_path, header=HEADER.replace(",", ";"))


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="columns of the same name: x"):
        read(tmp_path, f"{ROW},1", header=f"{HEADER},x")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "are empty"),
        (b"\xef\xbb\xbf\r\n", "are empty"),
        (HEADER.encode(), "hold no usable row: it has a header and no rows"),
        (f"{HEADER}\n0,,,,,,,,,x".encode(), "hold no usable row: row 2 is skipped"),
        (HEADER.encode("utf-16"), "not UTF-8 at byte 0"),
        (f"{HEADER}\n{ROW}".encode().replace(b"Ngaio", b"Ng\xe4io"), "not UTF-8 at byte"),
    ],
    ids=["empty", "mark-only", "header-only", "bad-rows-only", "utf-16", "latin-1"],
)
def test_a_file_without_annotations_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(HostError, match=words):
        read_annotations(path, tmp_path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot read the annotations.*No such file"):
        read_annotations(tmp_path / "none.csv", tmp_path)


@given(st.lists(st.text(max_size=12), max_size=14))
def test_any_row_is_read_or_reported(cells: list[str]) -> None:
    row = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_text(f"{HEADER}\n{ROW}\n{row}", encoding="utf-8", errors="replace", newline="")
        try:
            table = read_annotations(path, Path(folder))
        except HostError as error:
            assert "are not CSV at line" in str(error)
            return
    assert table.annotations[0].name == "Ngaio"
    assert all(math.isfinite(sum(item.bbox or (0.0,))) for item in table.annotations)
    if any(cell.strip() for cell in cells):
        assert len(table.annotations) + len(table.problems) >= 2


def gallery() -> list[Annotation]:
    names = [("a1", "A"), ("b1", "B"), ("a2", "A"), ("c1", None), ("b2", "B"), ("d1", "D")]
    return [
        Annotation(
            annotation_id=key, name=name, extra={"file_name": f"{key}.png", "file_path": f"p/{key}.png"}
        )
        for key, name in names
    ]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("all", ["a1", "b1", "a2", "c1", "b2", "d1"]),
        ("one_per_name", ["a1", "b1"]),
        (("c1",), ["c1"]),
        (("b2.png", "p/a1.png"), ["b2", "a1"]),
        (("A", "a1", "a2.png"), ["a1", "a2"]),
    ],
)
def test_queries_are_chosen_by_rule_id_file_or_name(wanted: str | tuple[str, ...], chosen: list[str]) -> None:
    queries, problems = select_queries(wanted, gallery())
    assert [query.annotation_id for query in queries] == chosen
    assert problems == ()


def test_an_unknown_query_is_reported_and_the_others_are_ranked() -> None:
    queries, problems = select_queries(("a1", "b9.png"), gallery())
    assert [query.annotation_id for query in queries] == ["a1"]
    assert [(item.code, item.where) for item in problems] == [("QUERY_UNKNOWN", "b9.png")]
    assert "nearest: 'b1.png'" in problems[0].message or "nearest: 'b2.png'" in problems[0].message


def test_no_query_at_all_is_an_error() -> None:
    with pytest.raises(HostError, match="no query is left to rank.*'zz'"):
        select_queries(("zz",), gallery())
    with pytest.raises(HostError, match="no individual has two annotations"):
        select_queries("one_per_name", gallery()[:2])
