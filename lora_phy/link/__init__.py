"""Whole frames over whole links: transmit, receive, count errors, compare with theory."""
