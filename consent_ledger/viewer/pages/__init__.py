"""Page modules: each has ``routes``, and is found by its being here (``routing.collect``)."""
