"""`python -m kala_es` is `kala-es`."""

import sys

from kala_es.cli import main

sys.exit(main())
