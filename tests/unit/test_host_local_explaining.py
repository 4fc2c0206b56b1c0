"""The sample host's side of the hooks: its own chips are its own, also where they cannot be cut."""

import pytest

from pairx_hooks import Annotation, HookCallError, build_manager, hookimpl
from pairx_plugin.errors import ChipNotFound
from pairx_plugin.hosts.local.explaining import HostPlugin


class Records:
    """A host with one annotation, whose photograph is gone."""

    def known_chip(self, annotation_id):
        if annotation_id == "mine":
            raise ChipNotFound("mine.jpg is gone; put it back")
        return None


class Archive:
    @hookimpl(trylast=True)
    def load_chip(self, annotation):
        return "a chip that was not ranked"


def test_chip_of_the_hosts_own_that_is_gone_is_not_replaced_by_another_plugins():
    manager = build_manager(Archive(), HostPlugin(Records(), lambda: None), entry_points=False)
    with pytest.raises(HookCallError, match="failed: mine.jpg is gone; put it back") as caught:
        manager.chip(Annotation(annotation_id="mine"))
    assert caught.value.code == "IMAGE_NOT_FOUND"
    assert manager.chip(Annotation(annotation_id="a stranger's")) == "a chip that was not ranked"
