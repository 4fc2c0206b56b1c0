"""What speaks for a layer and against it."""

from __future__ import annotations

import torch

from pairx_plugin.models.layer_reasons import main_layers, reasons_of
from pairx_plugin.models.layers import LayerInfo, list_layers
from pairx_plugin.relevance.program.skips import Skips, skips_above
from pairx_plugin.relevance.propagation import RelevanceModel

torch.set_num_threads(1)


def layer(key="x", grid=(28, 28), channels=96, field=(100, 100), **more):
    rows, columns = grid
    return LayerInfo(
        key=key, type_name="Sequential", grid=grid, channels=channels, stride=(440 / rows, 440 / columns),
        receptive_field=field, is_stage=True, **more,
    )


START = layer("start", suggested=True, reason="coarsest grid of at least 20 x 20 cells")


def test_layer_to_begin_with_has_its_reason_first():
    said = reasons_of(START, START, (440, 440), 0)
    assert said.pro[0].startswith("coarsest grid") and "no sum above inflates relevance" in said.pro
    assert said.contra == ()


def test_coarse_deep_layer_points_roughly_and_sees_everything():
    said = reasons_of(layer(grid=(14, 14), field=(500, 500)), START, (440, 440), 1)
    assert said.contra == (
        "points no finer than 31 px: fewer than 20 x 20 cells", "a cell may answer for anything in the input"
    )
    assert said.pro == ()


def test_fine_early_layer_is_costly_and_sees_texture():
    said = reasons_of(layer(grid=(110, 110), channels=24, field=(11, 11)), START, (440, 440), 20)
    assert "238 times the comparisons of start" in said.contra
    assert "a cell sees 2% of the input: texture, no parts" in said.contra
    assert "24 channels tell few places apart" in said.contra
    assert any("2^20-fold" in text for text in said.contra) and said.pro == ("points to 4 px",)


def test_tokens_and_unknown_counts_are_not_guessed_at():
    said = reasons_of(layer(field=None, tokens=True), None, (440, 440), None)
    assert said.contra == ("every token may have seen the whole input",) and said.pro == ("points to 16 px",)


def test_sums_above_are_those_between_the_layer_and_the_embedding(miewid_network):
    layers = list_layers(miewid_network, (64, 64))
    keys = [item.key for item in main_layers(layers)]
    program = RelevanceModel(miewid_network).program((1, 3, 64, 64))
    found = skips_above(program, keys)
    counts = [found[key].n_sums for key in keys]
    # tf_efficientnetv2_b0 has stages of 1, 2, 2, 3, 5 and 8 blocks, with a sum in all but each stage's first
    assert counts == [15, 14, 13, 11, 7, 0]
    assert all(found[key].n_copied == found[key].n_sums for key in keys)
    corrected = skips_above(RelevanceModel(miewid_network, mode="corrected").program((1, 3, 64, 64)), keys)
    assert [corrected[key] for key in keys] == [Skips(n_sums=count, n_copied=0) for count in counts]
    assert skips_above(program, ["no.such"]) == {}


def test_blocks_of_a_transformer_are_told_apart_by_their_depth():
    blocks = [layer(key=f"blocks.{n}", grid=(14, 14), field=None, tokens=True, suggested=n == 8) for n in range(12)]
    said = {item.key: reasons_of(item, blocks[8], (224, 224), None, blocks) for item in blocks}
    assert "block 4 of 12: early tokens know their position" in said["blocks.3"].contra[1]
    assert said["blocks.6"].pro == ("block 7 of 12: deep enough to tell parts of a body apart",)
    assert any("class token" in text for text in said["blocks.11"].contra)
    assert not any("block 9" in text for text in (*said["blocks.8"].pro, *said["blocks.8"].contra))
