"""What a request may name on this machine: files below folders, and photographs that it brings along."""

from __future__ import annotations

import base64
import os

import pytest
from PIL import Image

from made_pictures import encoded
from pairx_plugin.errors import ChipForbidden, ChipNotFound, ChipTooLarge, ChipUnreadable, SettingsError
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate

PNG = encoded(Image.new("RGB", (40, 30), (200, 10, 30)))


def data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "a.png").write_bytes(PNG)
    (inside / "note.txt").write_text("not a picture")
    (tmp_path / "secret.png").write_bytes(PNG)
    (inside / "way_out.png").symlink_to(tmp_path / "secret.png")
    return inside


@pytest.fixture
def gate(folder):
    return PhotographGate(GateRules(roots=(folder,)))


@pytest.mark.parametrize("name", ["deep/a.png", "{root}/deep/a.png", "file://{root}/deep/a.png", " deep/./a.png "])
def test_file_below_a_root_is_read(gate, folder, name):
    photograph = gate.read(name.format(root=folder))
    assert photograph.size == (40, 30) and photograph.pixels[5, 5].tolist() == [200, 10, 30]


@pytest.mark.parametrize(
    "name",
    [
        "{root}/../secret.png",
        "../secret.png",
        "deep/../../secret.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://server/share/a.png",
        "{root}",
        "",
        "a\0.png",
        "\ud800.png",
        "x" * 5000,
        "way_out.png",
    ],
)
def test_path_out_of_the_roots_is_refused(gate, folder, name):
    with pytest.raises(ChipForbidden):
        gate.read(name.format(root=folder))


def test_forbidden_path_is_not_looked_up(gate, monkeypatch):
    def touched(*_, **__):
        raise AssertionError("the disk was asked")

    for name in ("open", "stat", "lstat"):
        monkeypatch.setattr(os, name, touched)
    with pytest.raises(ChipForbidden):
        gate.check("/etc/passwd")
    with pytest.raises(ChipForbidden):
        gate.read("/etc/passwd")


def test_nothing_is_read_from_the_disk_unless_a_root_is_named(folder):
    with pytest.raises(ChipForbidden):
        PhotographGate().read(str(folder / "deep" / "a.png"))


def test_what_is_no_photograph_is_told(gate, folder):
    with pytest.raises(ChipNotFound):
        gate.read("deep/none.png")
    with pytest.raises(ChipUnreadable, match="no file"):
        gate.read("deep")
    with pytest.raises(ChipUnreadable, match="no image"):
        gate.read("note.txt")
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(ChipUnreadable, match="no file"):  # and it does not wait for a writer
        gate.read("pipe.png")


def test_root_that_is_a_symbolic_link_works_by_either_name(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    gate = PhotographGate(GateRules(roots=(tmp_path / "link",)))
    for name in (tmp_path / "link" / "deep" / "a.png", folder / "deep" / "a.png"):
        assert gate.read(str(name)).size == (40, 30)


def test_limits_of_bytes_and_pixels(folder):
    small = PhotographGate(GateRules(roots=(folder,), max_bytes=50))
    for uri in ("deep/a.png", data_uri(PNG)):
        with pytest.raises(ChipTooLarge):
            small.read(uri)
    with pytest.raises(ChipTooLarge, match="40 x 30"):
        PhotographGate(GateRules(roots=(folder,), max_pixels=1000)).read("deep/a.png")


def test_photograph_in_the_request(gate):
    assert gate.read(data_uri(PNG)).size == (40, 30)
    assert gate.label(data_uri(PNG)) == "data:image/png;base64,..."
    for bad in ("data:image/png;base64,@@", "data:image/png,abc", "data:image/png;base64"):
        with pytest.raises(ChipUnreadable):
            gate.read(bad)
    with pytest.raises(ChipForbidden):
        PhotographGate(GateRules(inline=False)).read(data_uri(PNG))


@pytest.mark.parametrize(
    "values",
    [{"url_hosts": ("http://example.org/",)}, {"private_hosts": ("a b",)}, {"max_bytes": 0}, {"fetch_seconds": -1.0}],
)
def test_rules_that_do_not_fit_are_refused(values):
    with pytest.raises(SettingsError):
        GateRules(**values)


def test_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no folder"):
        GateRules(roots=(tmp_path / "none",))
