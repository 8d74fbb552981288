"""What all tables share: one MetaData with constraint names that migrations can refer to, and portable column types."""

from sqlalchemy import JSON, BigInteger, MetaData
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Epoch milliseconds, bytes and other whole numbers beyond 32 bits.
BIG = BigInteger()
# A small tree of values that is read and written whole.
JSON_VALUE = JSON().with_variant(JSONB(), "postgresql")
