"""Page modules of the desk: each has ``routes``, and is found by its being here (``routing.collect``)."""
