"""What is raised if the environment cannot be used."""


class SettingsError(Exception):
    """The environment does not make sense; each line names a variable and what to do."""
