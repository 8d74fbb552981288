"""What Alembic runs: the missing migrations, on the connection that `migrate` gives, in its transaction."""

from alembic import context

from penstock.adapters.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
