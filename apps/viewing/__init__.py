"""The page of `apps.web`, one idea a file: it shows what the detector and the splicer say; no logic of its own."""
