"""The configuration file: TOML in, one frozen ``Config`` out, or every mistake at once.

``settings`` declares each setting once; ``load`` reads a file; ``reference`` writes the tables of
``docs/configuration.md`` from the declarations.
"""

from scanner.config.load import ConfigError, ConfigProblem, load_config
from scanner.config.settings import Config

__all__ = ["Config", "ConfigError", "ConfigProblem", "load_config"]
