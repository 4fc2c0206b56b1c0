"""Layer-wise relevance propagation that is exact, runs on shared weights and never touches the host's network.

:class:`.propagation.RelevanceModel` is the way in. This room holds what explainers ask; below it lie, each importing
from those after it alone, ``program``, ``composites``, ``rules``, ``attention``, and ``network`` beside ``arithmetic``.
"""
