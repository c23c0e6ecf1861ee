"""The console's own tables, folded from the verified log; they can be thrown away and made again."""
