"""The verbs: one a file; `ls` is the feature list. A verb that writes outside has four acts: read, announce, talk, record."""


class NotHere(Exception):
    """No such thing for this portal: shown as 404, whether it never was or belongs to somebody else."""


class NotAllowed(Exception):
    """The visitor may not do this: shown as 403 with a sentence."""
