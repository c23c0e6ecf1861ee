"""A synthetic town: made-up organisations, residents, files and choices, and the story that `regie demo` tells."""
