# acme_occlusion.py
from pairx_hooks import ExplainerEntry, hookimpl


class Occlusion:
    explainer_id = "acme-occlusion"
    version = "1"

    def prepare(self, model, query, settings):
        return OcclusionSession(model, query, grid=int(settings.options.get("grid", 4)))


class OcclusionSession:
    def __init__(self, model, query, grid):
        self.model, self.query, self.grid = model, query, grid

    def explain(self, candidates):
        return [self._explain(candidate) for candidate in candidates]

    def _explain(self, candidate):
        import numpy as np
        from pairx_plugin.evidence import LayerEvidence, Matches, PairEvidence

        height, width = self.model.input_size
        none = np.zeros((0, 2), np.int32)  # this explainer matches nothing
        no_maps = np.zeros((0, height, width), np.float32)
        similarity, relevance_0 = self._falls(self.query.pixels, candidate.pixels)
        _, relevance_1 = self._falls(candidate.pixels, self.query.pixels)
        layer = LayerEvidence(
            layer_key="input",
            relevance_0=relevance_0,
            relevance_1=relevance_1,
            matches=Matches(cells_0=none, cells_1=none, distance=no_maps[:, 0, 0], relevance=no_maps[:, 0, 0]),
            pixels_0=no_maps,
            pixels_1=no_maps,
        )
        return PairEvidence(similarity=similarity, layers=(layer,))

    def _falls(self, hidden, other):
        """The cosine of two chips, and how far it falls for each cell of the first that is hidden."""
        import numpy as np

        height, width, _ = hidden.shape
        pictures = [other, hidden]
        for row in range(self.grid):
            for col in range(self.grid):
                rows = slice(row * height // self.grid, (row + 1) * height // self.grid)
                cols = slice(col * width // self.grid, (col + 1) * width // self.grid)
                pictures.append(hidden.copy())
                pictures[-1][rows, cols] = hidden.mean(axis=(0, 1)).astype(np.uint8)
        embeddings = self.model.embed(pictures)
        embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        cosine = embeddings[1:] @ embeddings[0]
        falls = np.maximum(cosine[0] - cosine[1:], 0).reshape(self.grid, self.grid)
        return float(cosine[0]), falls.astype(np.float32)


@hookimpl
def register_explainers():
    return [
        ExplainerEntry(
            explainer_id="acme-occlusion",
            title="Occlusion",
            summary="Where the similarity falls when that part of a chip is hidden.",
            create=Occlusion,
        )
    ]
