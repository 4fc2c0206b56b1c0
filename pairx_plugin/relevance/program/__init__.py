"""A network as steps with a rule each: made once, run forward, and walked down with relevance in hand.

:func:`.building.build_program` makes a :class:`.steps.Program` of a twin, :func:`.walk.carry` walks it.
"""
