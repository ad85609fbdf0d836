"""What is declared once: registries of named entries, modules of the user's own, and defaults from `mer.toml`.

The value of an option is taken from the command line, else the environment, else the settings file, else its default.
"""

from mer.settings.mer_toml import FILE_NAME as FILE_NAME
from mer.settings.mer_toml import SettingsError as SettingsError
from mer.settings.mer_toml import default_map as default_map
from mer.settings.mer_toml import read_settings as read_settings
from mer.settings.mer_toml import take_plugins as take_plugins
from mer.settings.plugins import PLUGINS_VARIABLE as PLUGINS_VARIABLE
from mer.settings.plugins import PluginError as PluginError
from mer.settings.plugins import also_load as also_load
from mer.settings.plugins import import_own as import_own
from mer.settings.plugins import load_plugins as load_plugins
from mer.settings.plugins import plugin_files as plugin_files
from mer.settings.registry import Registry as Registry
from mer.settings.registry import UnknownEntryError as UnknownEntryError
