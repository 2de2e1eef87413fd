"""`python -m tests.embedded_aws stop DIRECTORY`: ends the embedded AWS that was left running."""

import sys
from pathlib import Path

from tests.embedded_aws import EmbeddedAws, EmbeddedAwsError

match sys.argv[1:]:
    case ["stop", directory]:
        try:
            EmbeddedAws.attach(Path(directory)).stop()
        except EmbeddedAwsError as error:
            raise SystemExit(str(error)) from None
    case _:
        raise SystemExit(__doc__)
