"""This machine: files, programs, volumes."""
