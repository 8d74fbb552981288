"""The database: the only SQLAlchemy of the house."""
