"""Streams: iterables of bytes in, iterators of bytes out, each beside its inverse."""
