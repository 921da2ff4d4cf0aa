"""The manifest: parse_manifest() and its inverse render_manifest()."""

from bundler.codec.manifest_parse import parse_manifest
from bundler.codec.manifest_render import render_manifest, signed_bytes

__all__ = ["parse_manifest", "render_manifest", "signed_bytes"]
