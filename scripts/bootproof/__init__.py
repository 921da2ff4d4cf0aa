"""Proofs that images of volumes boot."""
