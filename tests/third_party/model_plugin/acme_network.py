# acme_network.py
import functools
import os

from pairx_hooks import OwnFailure, hookimpl

MODEL_ID = "acme-resnet"


@hookimpl
def provide_embedding_model(model_id):
    if model_id != MODEL_ID:
        return None  # not mine, ask the next plugin
    try:
        return load()
    except Exception as error:
        raise OwnFailure.of(error) from error  # mine and broken, ask nobody else


@functools.lru_cache(maxsize=1)  # it is asked for once a ranked query
def load():
    import torch
    from pairx_plugin.models import EmbeddingModel
    from torchvision.models import resnet18

    weights = os.environ.get("ACME_WEIGHTS")
    if not weights:
        raise OwnFailure("set ACME_WEIGHTS to the file with the weights of acme-resnet", code="NO_WEIGHTS")
    network = resnet18()
    network.fc = torch.nn.Identity()  # (B, 3, H, W) to (B, 512): an embedding instead of classes
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return EmbeddingModel(network.eval(), model_id=MODEL_ID, input_size=(128, 128), default_layer="layer2")
