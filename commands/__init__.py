"""One module a command: each parses, calls one function of another room, prints.

Nothing heavy is imported at the top of these modules, so that `mer --help` is instant.
"""
