"""Pictures from evidence: chips and arrays in, RGB pixels out, without a network; OpenCV is needed to draw.

:func:`.panels.render` draws a view of a pair, :func:`.colour_maps.relevance_overlay` one map over one chip,
:func:`.reference_look.reference_composite` what the public code draws; :func:`.pictures.encode` makes bytes
that can be stored.
"""
