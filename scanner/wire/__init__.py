"""Bytes to meaning and back: DNS messages and SMTP replies, without sockets or clocks."""
