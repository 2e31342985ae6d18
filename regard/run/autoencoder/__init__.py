"""Autoencoders of pictures."""
