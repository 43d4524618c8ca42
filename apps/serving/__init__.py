"""The service of `apps.api`, one idea a file: it receives, judges in other processes, answers; no logic of its own."""
