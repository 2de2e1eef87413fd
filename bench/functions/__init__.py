"""Functions to compare with: each module is the handler in a package of its own."""
