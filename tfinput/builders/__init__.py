"""The builders: each turns one kind of material into a Feed."""
