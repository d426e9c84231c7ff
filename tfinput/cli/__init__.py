"""The command line: what `python -m tfinput` can do, one module a command."""
