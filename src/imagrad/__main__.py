"""Run the command line as `python -m imagrad`."""

import sys

from imagrad.cli.main import main

sys.exit(main())
