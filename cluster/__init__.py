"""Many hubs, one room: what hubs say to one another through a stream that orders and stores it.

A hub alone imports nothing of this. The modules without I/O come first: what a message looks like (envelope),
what this hub has to say (outbox), what all hubs said, in one order (fold), and what is done about a stream
that is not the one we knew (fork). docs/design/cluster.md tells the protocol.
"""
