"""All that crosses between the threads: the mailbox in, frozen snapshots out.

This package does not know what either side does with them.
"""
