"""gunicorn's and flask's entry: the application, made from the environment."""

import sys

from plugin import create_app
from plugin.cli import needs_of
from plugin.config import Config, ConfigError

try:
    app = create_app(Config.from_env(needs=needs_of(sys.argv)))
except ConfigError as error:
    sys.exit(str(error))
