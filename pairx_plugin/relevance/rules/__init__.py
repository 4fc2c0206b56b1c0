"""How relevance passes one step, from its output to its inputs: each rule a class with its equation.

:class:`.base.Rule` is what they have in common.
"""
