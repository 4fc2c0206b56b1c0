"""The MiewId pipeline of Wildbook IA, as small as it can be while it looks like the real one from outside.

What explanations touch behaves as in wbia-plugin-miew-id: the network is read from its file at every need, and asked
for on CUDA; pictures are handed blue first; scores are (1 + cosine) / 2, and 0 behind the 50 nearest; rows of the
score table go once matches are made; the three versions of a picture are drawn by ``render_single_result``. What
explanations do not touch is left out. The code is this project's own.
"""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import cv2
import numpy as np
import timm
import torch
import utool as ut
import vtool as vt
import wbia
from torch import nn
from wbia import dtool as dt
from wbia.constants import ANNOTATION_TABLE
from wbia.control import controller_inject

register_preproc_annot = controller_inject.register_preprocs["annot"]

_N_NEAREST = 50
_MEAN = np.array((0.485, 0.456, 0.406), np.float32) * 255
_SPREAD = np.reciprocal(np.array((0.229, 0.224, 0.225), np.float32) * 255, dtype=np.float32)
_embeddings = {}  # by annotation alone, as in the real plugin


class MiewIdNet(nn.Module):
    """Backbone, generalised-mean pooling, batch-norm neck."""

    def __init__(self, model_name):
        super().__init__()
        self.backbone = timm.create_model(model_name, pretrained=False)
        n_features = self.backbone.num_features
        self.backbone.classifier = nn.Identity()
        self.backbone.global_pool = nn.Identity()
        self.pooling = Pooling()
        self.bn = nn.BatchNorm1d(n_features)

    def forward(self, images):
        return self.bn(self.pooling(self.backbone.forward_features(images)).flatten(1))


class Pooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, maps):
        return nn.functional.avg_pool2d(maps.clamp(min=1e-6).pow(self.p), maps.shape[-2:]).pow(1.0 / self.p)


def get_model(cfg, checkpoint_path=None, use_gpu=True):
    model = MiewIdNet(cfg.model_params["model_name"])
    if use_gpu:
        model.to(torch.device("cuda"))
    if checkpoint_path:
        model.load_state_dict(torch.load(checkpoint_path, map_location="cuda" if use_gpu else "cpu"))
    return model


def read_config_and_load_model(species):
    with open(os.environ["STAND_IN_MODELS"]) as file:
        models = json.load(file)
    entry = models.get(species, models["default"])
    with open(entry["config_url"]) as file:
        values = json.load(file)
    config = SimpleNamespace(
        data=SimpleNamespace(image_size=values["image_size"], crop_bbox=False),
        test=SimpleNamespace(batch_size=4, fliplr=values["fliplr"], fliplr_view=values["fliplr_view"]),
        engine=SimpleNamespace(device="cuda" if torch.cuda.is_available() else "cpu"),
        model_params={"model_name": values["model_name"]},
        use_gpu=torch.cuda.is_available(),
    )
    model = get_model(config, entry["model_url"])
    return model, config, (entry["model_url"], entry["config_url"])


class Chips(torch.utils.data.Dataset):
    """Chips as the network reads them: (tensor, name, path, box, theta)."""

    def __init__(self, ibs, aids, config):
        self.chips = ibs.get_annot_chips(aids)
        self.rows = list(
            zip(
                ibs.get_annot_name_rowids(aids),
                ibs.get_annot_image_paths(aids),
                ibs.get_annot_bboxes(aids),
                ibs.get_annot_thetas(aids),
                ibs.get_annot_viewpoints(aids),
            )
        )
        self.config = config

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        name, path, box, theta, viewpoint = self.rows[index]
        height, width = self.config.data.image_size
        chip = self.chips[index]
        if self.config.test.fliplr and viewpoint in self.config.test.fliplr_view:
            chip = np.ascontiguousarray(np.fliplr(chip))
        resized = cv2.resize(chip, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        tensor = torch.from_numpy(np.ascontiguousarray(((resized - _MEAN) * _SPREAD).transpose(2, 0, 1)))
        return tensor, name, path, torch.Tensor(box), theta


def _load_data(ibs, aid_list, config, multithread=False, batch_size=None):
    dataset = Chips(ibs, aid_list, config)
    return torch.utils.data.DataLoader(dataset, batch_size=batch_size or config.test.batch_size), dataset


def embeddings_of(ibs, aids):
    missing = [aid for aid in aids if aid not in _embeddings]
    if missing:
        model, config, _ = read_config_and_load_model(ibs.get_annot_species_texts(missing[0]))
        model.eval()
        loader, _ = _load_data(ibs, missing, config)
        with torch.no_grad():
            found = np.concatenate([model(batch[0].to(config.engine.device)).cpu().numpy() for batch in loader])
        _embeddings.update(zip(missing, found / np.linalg.norm(found, axis=1, keepdims=True)))
    return np.stack([_embeddings[aid] for aid in aids])


class MiewIdConfig(dt.Config):
    def get_param_info_list(self):
        return [ut.ParamInfo("config_path", None), ut.ParamInfo("use_knn", True, hideif=True)]


class MiewIdRequest(dt.base.VsOneSimilarityRequest):
    _symmetric = False
    _tablename = "MiewId"

    def render_with_visualization(request, cm, aid, **kwargs):
        raise NotImplementedError("the real plugin's own PAIR-X fails here as well")

    def render_without_visualization(request, cm, aid, **kwargs):
        return vt.stack_image_list(request.depc.controller.get_annot_chips([cm.qaid, aid]))

    def render_single_result(request, cm, aid, **kwargs):
        if kwargs.get("use_gradcam", False):
            return request.render_with_visualization(cm, aid, **kwargs)
        return request.render_without_visualization(cm, aid, **kwargs)

    def postprocess_execute(request, table, parent_rowids, rowids, result_list):
        ibs = request.depc.controller
        pairs = {}
        for (qaid, daid), (score,) in zip(parent_rowids, result_list):
            pairs.setdefault(qaid, []).append((daid, score))
        matches = [match_of(ibs, qaid, found) for qaid, found in pairs.items()]
        for match in matches:
            species = ibs.get_annot_species_texts(match.qaid)
            match.model_url, match.config_url = read_config_and_load_model(species)[2]
        table.delete_rows(rowids)
        return matches

    def execute(request, *args, **kwargs):
        wanted = kwargs.pop("qaids", None)
        matches = super().execute(*args, **kwargs)
        return matches if wanted is None else [match for match in matches if match.qaid in wanted]


def match_of(ibs, qaid, found):
    match = wbia.AnnotMatch()
    match.qaid, match.qnid = qaid, ibs.get_annot_nids(qaid)
    match.daid_list = np.array([daid for daid, _ in found])
    match.dnid_list = np.array(ibs.get_annot_nids(match.daid_list))
    match._update_daid_index()
    match._update_unique_nid_index()
    scores = np.array([score for _, score in found])
    grouped = vt.apply_grouping(scores, match.name_groupxs)
    match.set_cannonical_name_score(scores, np.array([group.max() for group in grouped]))
    return match


@register_preproc_annot(
    tablename="MiewId",
    parents=[ANNOTATION_TABLE, ANNOTATION_TABLE],
    colnames=["score"],
    coltypes=[float],
    configclass=MiewIdConfig,
    requestclass=MiewIdRequest,
    fname="miew_id",
    rm_extern_on_delete=True,
    chunksize=None,
)
def wbia_plugin_miew_id(depc, qaid_list, daid_list, config):
    ibs = depc.controller
    daids = sorted(set(daid_list))
    table = {}
    for qaid in sorted(set(qaid_list)):
        cosines = embeddings_of(ibs, daids) @ embeddings_of(ibs, [qaid])[0]
        scores = (1.0 + cosines.astype(np.float64)) / 2.0
        if config.get("use_knn", True):
            scores[np.argsort(-scores)[_N_NEAREST:]] = 0.0
        table[qaid] = dict(zip(daids, scores))
    for qaid, daid in zip(qaid_list, daid_list):
        yield (float(table[qaid][daid]),)
