"""Many hubs, one room: what hubs say to one another through a stream that orders and stores it.

A hub alone imports nothing of this. The modules without I/O come first: what a message looks like (envelope),
what this hub has to say (outbox), what all hubs said, in one order (fold), and whether the stream is the one
that we knew (fork); the member is these together. The stream and the link carry them to NATS.
docs/design/cluster.md tells the protocol.
"""
