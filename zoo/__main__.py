"""`python -m zoo`, the same as the `zoo` command."""

import sys

from zoo.command import main

sys.exit(main())
