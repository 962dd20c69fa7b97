"""`python -m spinodal.cli` is `spinodal`."""

import sys

from spinodal.cli.main import main

sys.exit(main())
