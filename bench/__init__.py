"""Clients that make load, and the made-up clients of `hubbub demo`. Programs of their own."""
