"""HTTP without a framework: a request in, a response out. No sockets here either."""
