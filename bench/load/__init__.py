"""The load generator of `hubbub bench`: workloads against any line server, from outside and over sockets."""
