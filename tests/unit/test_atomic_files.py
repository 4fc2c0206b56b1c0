"""Files are whole or not there, keep their permissions and links, and leave nothing beside them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pairx_plugin.atomic_files import replacing, unwritten, write_whole
from pairx_plugin.errors import StoreError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def usual_umask():
    earlier = os.umask(0o027)
    yield
    os.umask(earlier)


@pytest.mark.parametrize(
    ("content", "written"), [("zwölf\r\n1\n", "zwölf\r\n1\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")]
)
def test_content_is_written_as_it_is(tmp_path, content, written):
    path = tmp_path / "a" / "b" / "file.bin"  # folders are made
    assert write_whole(path, content) == len(written)
    assert path.read_bytes() == written and names(path.parent) == ["file.bin"]


def test_a_text_path_and_a_name_as_long_as_they_get_will_do(tmp_path):
    path = tmp_path / ("n" * 255)
    write_whole(str(path), "text")
    assert path.read_text() == "text"


@pytest.mark.parametrize("raised", [ValueError("no picture"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_stops_the_writing_leaves_the_earlier_file_and_nothing_else(tmp_path, raised):
    path = tmp_path / "report.html"
    path.write_text("earlier")
    with pytest.raises(type(raised)) as caught, replacing(path) as file:
        file.write(b"half")
        raise raised
    assert caught.value is raised
    assert path.read_text() == "earlier" and names(tmp_path) == ["report.html"]


def test_a_failing_last_step_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "report.html"
    path.write_text("earlier")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(path, "later")
    assert caught.value.errno == errno.ENOSPC and not isinstance(caught.value, StoreError)
    assert path.read_text() == "earlier" and names(tmp_path) == ["report.html"]


def test_the_earlier_file_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("earlier")
    with replacing(path) as file:
        file.write(b"later")
        file.flush()
        assert path.read_text() == "earlier"
    assert path.read_text() == "later"


def test_a_killed_process_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("earlier")
    code = (
        "import os, sys; from pairx_plugin.atomic_files import replacing\n"
        "with replacing(sys.argv[1]) as file:\n    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], timeout=60).returncode == -9
    assert path.read_text() == "earlier"
    assert [name for name in names(tmp_path) if name != path.name and not name.endswith(".part")] == []


def test_a_new_file_has_the_permissions_of_all_files_of_the_process(tmp_path, usual_umask):
    write_whole(tmp_path / "new", b"")
    assert mode(tmp_path / "new") == 0o640


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, usual_umask):
    path = tmp_path / "old"
    for wanted in (0o600, 0o664):
        write_whole(path, b"")
        path.chmod(wanted)
        with replacing(path) as file:
            file.write(b"again")
            [part] = tmp_path.glob("*.part")
            assert mode(part) == wanted  # a private file is private from the first byte
        assert mode(path) == wanted


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path):
    real = tmp_path / "volume" / "real.json"
    real.parent.mkdir()
    real.write_text("earlier")
    link, chain, dangling = (tmp_path / name for name in ("link", "chain", "dangling"))
    link.symlink_to(Path("volume") / "real.json")
    chain.symlink_to(link)
    write_whole(chain, "later")
    assert chain.is_symlink() and link.is_symlink() and real.read_text() == "later"
    dangling.symlink_to(tmp_path / "volume" / "to_come.json")
    write_whole(dangling, "new")
    assert dangling.is_symlink() and (tmp_path / "volume" / "to_come.json").read_text() == "new"
    assert names(real.parent) == ["real.json", "to_come.json"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_whole(pipe, b"through")
    reader.join(10)
    assert read == [b"through"] and stat.S_ISFIFO(pipe.stat().st_mode) and names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("place", ["", "file/below", "loop"], ids=["a folder", "below a file", "a circle of links"])
def test_a_place_where_no_file_can_be_is_an_error_of_the_system(tmp_path, place):
    (tmp_path / "file").write_text("here")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError) as caught:
        write_whole(tmp_path / place, b"x")
    assert caught.value.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
    assert names(tmp_path) == ["file", "loop"]


def test_threads_that_write_one_file_leave_one_of_their_contents(tmp_path):
    path = tmp_path / "shared"
    contents = [bytes([number]) * 50_000 for number in range(8)]
    writers = [threading.Thread(target=write_whole, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in contents and names(tmp_path) == ["shared"]


def test_the_error_for_a_user_says_what_where_why_and_what_next():
    error = unwritten("the report", Path("a/b.html"), OSError("odd"), "give another --output")
    assert str(error) == "the report 'a/b.html' cannot be written: odd; give another --output"
    assert isinstance(error, StoreError)
