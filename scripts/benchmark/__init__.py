"""The parts of bench.py: images, competitors, measuring, tables."""
