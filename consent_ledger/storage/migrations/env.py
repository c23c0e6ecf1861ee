"""Alembic's entry: runs migrations over the connection that ``migrate_postgres`` gives it, in its transaction.

Without a connection they are written down as SQL, for who wants to read before they run.
"""

from alembic import context

_attributes = context.config.attributes
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, output_buffer=context.config.output_buffer)
else:
    context.configure(connection=_attributes["connection"])
context.run_migrations()
