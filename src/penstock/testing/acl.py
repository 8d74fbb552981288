"""Grants for tests."""

from penstock.domain.access import USERS, PermissionLevel
from penstock.domain.acl import Acl, Grantee, GranteeKind

OPEN = Acl({Grantee(GranteeKind.GROUP, USERS): PermissionLevel.CAN_QUERY})
"""Everybody may query."""
