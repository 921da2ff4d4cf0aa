"""The report of what was left out of an image, and what of it is suspicious."""

import argparse
import json
from pathlib import Path

from bundler.cli.console import Console
from bundler.cli.options import parse_path
from bundler.cli.publish import state_directory
from bundler.host.files import check_directory, write_file
from bundler.workflow.copy_report import CopyReport, render_report, report_facts
from bundler.workflow.image_volume import FilledImage, VolumePlan
