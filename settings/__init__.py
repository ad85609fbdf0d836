"""Defaults from `mer.toml`: precedence is option, environment variable, file, built-in default."""

from mer.settings.mer_toml import FILE_NAME as FILE_NAME
from mer.settings.mer_toml import SettingsError as SettingsError
from mer.settings.mer_toml import default_map as default_map
from mer.settings.mer_toml import read_settings as read_settings
