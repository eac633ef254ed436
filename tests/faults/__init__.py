"""Bugs planted on purpose, each as an edit of a named function, and the checks that have to catch them."""
