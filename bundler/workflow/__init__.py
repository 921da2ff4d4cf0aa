"""Verbs: they join the layers, and know no XML and no boto3."""
