"""Pumps move the bytes of a viewer into a connection."""
