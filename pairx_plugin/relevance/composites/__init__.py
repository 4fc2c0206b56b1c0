"""zennit's composites, in which rules are chosen, and what becomes of them here.

:func:`.named.resolve_composite` finds one by its name, :func:`.translation.rule_of_hook` gives the rule of ours that
computes what a hook would; a hook that has none runs as it is, as :class:`.hooked.Hooked`.
"""
