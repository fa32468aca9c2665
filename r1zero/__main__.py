"""`python -m r1zero` is `r1zero`."""

import sys

from r1zero.cli.main import main

sys.exit(main())
