"""The command line, ``pairx-plugin``: each command a module, all of them light to import.

``app`` puts them together, and is not imported here: a host's environment may have a command of its own in this room
and none of the packages of the extra ``cli``.
"""
