"""The errors of this project: each is one message for a user, never a traceback."""


class ComvaeError(Exception):
    """Something a user can mend; the message says what, where and how."""


class SettingsError(ComvaeError):
    """A study or model file holds a wrong setting."""


class DatasetError(ComvaeError):
    """A dataset is missing, damaged, or not what was expected."""


class ResultsError(ComvaeError):
    """A file under `results/` is missing, damaged, or of another configuration."""


class StoppedError(ComvaeError):
    """A signal stopped work that had been saved: the same command goes on."""
