"""Run the command line as ``python -m bundler``."""

from bundler.cli.main import run_program

run_program()
