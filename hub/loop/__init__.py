"""The turn and its steps, in order.

This package knows everything below it; it must not know the page, the command line or signals.
"""
