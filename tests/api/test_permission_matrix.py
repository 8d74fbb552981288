"""Every declared route, called as every kind of caller: what happens is what the rules say."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import permission_rules
import pytest
from permission_rules import ANYONE, SIGNED, Rule

from penstock.control.credentials import digest
from penstock.domain.access import ADMINS, USERS, PermissionLevel, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.domain.acl import Acl, Grantee, GranteeKind
from penstock.domain.batch import Purpose
from penstock.domain.endpoint import Endpoint
from penstock.domain.group import Group
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.secret import AclItem, Permission
from penstock.testing.gateway import fake_gateway
from penstock.testing.serving import add_model
from penstock.web.app import create_app
from penstock.web.dialects import DIALECTS
from penstock.web.openai.app import DataPlane

RULES = permission_rules.load()
BY_ROUTE = RULES.by_route()
DATA_PLANE = "/serving-endpoints/"
# By their names in rules, and further ones that only their credentials tell apart.
TEAM = "team"
GROUPS = {"administrator": {ADMINS, USERS}, "robot": {USERS, TEAM}}
ENDPOINT_ID = "e" * 32
NARROW = {"narrow": ENDPOINT_ID, "elsewhere": "f" * 32}
"""Tokens of the creator for one endpoint, the one that routes name and another one."""
KINDS = [*RULES.callers, "nobody", "unknown", "deactivated", "serving", *NARROW]
MODEL = "main.default.guide"
GRANTS = Acl(
    {
        Grantee(GranteeKind.USER, "viewer"): PermissionLevel.CAN_VIEW,
        Grantee(GranteeKind.USER, "querier"): PermissionLevel.CAN_QUERY,
        Grantee(GranteeKind.USER, "manager"): PermissionLevel.CAN_MANAGE,
        Grantee(GranteeKind.USER, "ann"): PermissionLevel.CAN_MANAGE,
        Grantee(GranteeKind.GROUP, TEAM): PermissionLevel.CAN_QUERY,
    }
)
FAR = EntityRoute("far", (), scales_to_zero=False)
PLACES = {
    "name": "guide",
    "endpoint_id": ENDPOINT_ID,
    "full_name": MODEL,
    "entity": "guide-1",
    "served_model": "far",
    "model": "guide",
    "version": "1",
    "number": "1",
    "securable_type": "registered_models",  # of tags; grants know it by other names
    "principal_id": "5",
    "token_id": "token-creator",
    "group_id": "77",
    "alias": "best",
    "owner": "org",
    "install_id": "none",
    "path": "Models/main/default/guide/1/config.json",
}
MODEL_BODY = {"name": MODEL, "full_name": MODEL}
VERSION_BODY = {"name": MODEL, "version": "1"}
SERVED = {"entity_name": MODEL, "entity_version": "1", "provisioned_model_units": 50}
NEW = {"name": "new", "config": {"served_entities": [SERVED]}}
SECRET = {"scope": "vault", "key": "key", "principal": "ann"}
ASKED = {"model": "guide", "messages": [{"role": "user", "content": "a"}], "prompt": "a", "input": "a", "max_tokens": 1}
BODIES = {
    "POST /api/2.0/secrets/put": {**SECRET, "string_value": "a"},
    "POST /api/2.0/secrets/acls/put": {**SECRET, "permission": "READ"},
    "POST /api/2.0/secrets/scopes/create": {"scope": "new"},
    "POST /api/2.0/serving-endpoints": {"name": "new"},
    "POST /api/2.0/serving-endpoints/pt": NEW,
    "PUT /api/2.0/serving-endpoints/{name}/config": NEW["config"],
    "PUT /api/2.0/serving-endpoints/pt/{name}/config": {"config": NEW["config"]},
    "PUT /api/2.0/serving-endpoints/{name}/rate-limits": {"rate_limits": []},
    "POST /api/2.0/token/delete": {"token_id": "token-creator"},
    "PATCH /api/2.1/unity-catalog/permissions/{securable_type}/{full_name}": {
        "changes": [{"principal": "viewer", "add": ["EXECUTE"]}]
    },
    "DELETE /api/2.0/mlflow/unity-catalog/model-versions/delete": VERSION_BODY,
    "DELETE /api/2.0/mlflow/unity-catalog/registered-models/delete": MODEL_BODY,
}
QUERIES = {
    "/secrets/": "scope=vault&key=key&principal=ann",
    # Signed by somebody else.
    "/fs/signed/": "expires=9999999999999&signature=x&session=x",
}
NAMED_AFTER = {"catalogs": "main", "schemas": "main.default", "profiles": MODEL, "get-model-optimization-info": MODEL}


@dataclass
class Stage:
    """The whole application with everything in it that routes name, put back after every call."""

    site: object
    store: object
    places: dict[str, str]

    def path(self, route: str) -> str:
        _, path = route.split(" ", 1)
        nouns = [word for word in NAMED_AFTER if f"/{word}/" in path]
        places = {
            **self.places,
            **({"name": NAMED_AFTER[nouns[0]], "full_name": NAMED_AFTER[nouns[0]]} if nouns else {}),
        }
        if "permissions/" in path or "privilege-assignments/" in path:
            places["securable_type"] = "function"
        filled = re.sub(r"\{(\w+)(:path)?\}", lambda found: places.get(found[1], "x"), path)
        queries = [query for word, query in QUERIES.items() if word in path]
        return "?".join([filled, *queries])

    async def call(self, route: str, kind: str) -> httpx.Response:
        """The answer to a caller of that kind; what the call changed is undone."""
        before = self.store.rows.copy()
        headers = {} if kind == "nobody" else {"Authorization": f"Bearer dapi-{kind}-of-the-matrix"}
        method, path = route.split(" ", 1)
        body = BODIES.get(route) or (SECRET if "/secrets/" in path else ASKED if path.startswith(DATA_PLANE) else {})
        transport = httpx.ASGITransport(app=self.site)
        async with httpx.AsyncClient(transport=transport, base_url="http://penstock", headers=headers) as client:
            answer = await client.request(method, self.path(route), json=None if method in ("GET", "HEAD") else body)
        self.store.rows = before
        return answer


async def people(store) -> None:
    """A principal with a token for each kind of caller; the creator is called ann."""
    async with store.unit() as unit:
        await unit.groups.add(Group("77", TEAM), 0)
        for number, kind in enumerate([*RULES.callers, "deactivated"], start=100):
            what = PrincipalKind.SERVICE_PRINCIPAL if kind == "robot" else PrincipalKind.USER
            name, groups = "ann" if kind == "creator" else kind, frozenset(GROUPS.get(kind, {USERS}))
            one = Principal(str(number), name, kind, what, groups, active=kind != "deactivated")
            await unit.access.add_principal(one, 0)
            await add_token(unit, kind, one.id, Scope.ALL_APIS)
            if kind == "querier":
                await add_token(unit, "serving", one.id, Scope.SERVING)
            if kind == "creator":
                for narrow, endpoint_id in NARROW.items():
                    await add_token(unit, narrow, one.id, Scope.SERVING, endpoint_id)


async def add_token(unit, kind, principal_id, scope, endpoint_id="") -> None:
    token = Token(f"token-{kind}", principal_id, TokenKind.PERSONAL, scope, "", 0, endpoint_id=endpoint_id)
    await unit.access.add_token(token, digest(f"dapi-{kind}-of-the-matrix"))


@pytest.fixture
async def stage(parts, store, clock, secrets, batches) -> Stage:
    await people(store)
    await add_model(store, MODEL)
    async with store.unit() as unit:
        await unit.endpoints.add(Endpoint(ENDPOINT_ID, "guide", "ann", 0, 0, "", False, (), None, None, acl=GRANTS))
    ann = await parts.authenticator.authenticate(b"Bearer dapi-creator-of-the-matrix")
    await parts.secret_scopes.create(ann, "vault", None)
    await parts.secret_scopes.put_acl(ann, "vault", AclItem("ann", Permission.MANAGE))
    await secrets.put(ann, "vault", "key", b"value")
    file_id, size = await batches.receive(ann, rows())
    await batches.named(ann, file_id, size, filename="rows.jsonl", purpose=Purpose.BATCH)
    batch = await batches.create(ann, file_id, "/v1/chat/completions", "24h", {})
    gateway = fake_gateway(clock)
    # Without a task, so that whoever may ask is told so at once.
    gateway.table.publish(EndpointRoute(ENDPOINT_ID, "guide", "ann", None, (), (FAR,), acl=GRANTS))
    plane = DataPlane(gateway, parts.authenticator, "42", strict=False, max_body_bytes=1_000_000, dialects=DIALECTS)
    return Stage(
        create_app(replace(parts, data_plane=plane)), store, {**PLACES, "file_id": file_id, "batch_id": batch.id}
    )


async def rows() -> AsyncIterator[bytes]:
    yield b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}'


def narrow(route: str, rule: Rule, kind: str) -> int:
    """What it is for a token for one endpoint; lists are for everybody."""
    path = route.split(" ", 1)[1]
    if not path.startswith(DATA_PLANE) or path.startswith((f"{DATA_PLANE}files", f"{DATA_PLANE}batches")):
        return 403
    return rule.refusal if kind == "elsewhere" and rule.name != "user" else 0


def wanted(route: str, rule: Rule, kind: str) -> int:
    """The refusal that the rules say, 0 for none."""
    if rule.name in (ANYONE, SIGNED):
        # Nobody's address here is signed, and no other credential counts.
        return 0 if rule.name == ANYONE else rule.refusal
    if kind == "nobody":
        return 401
    if kind in ("unknown", "deactivated"):
        return rule.unknown
    if kind in NARROW:
        return narrow(route, rule, kind)
    if kind == "serving":
        if not route.split(" ", 1)[1].startswith(DATA_PLANE):
            return 403
        kind = "querier"
    return 0 if kind in rule.allowed else rule.refusal


def refusal(answer: httpx.Response, rule: Rule) -> int:
    """The status, if the caller was refused."""
    return answer.status_code if answer.status_code in (401, 403, rule.refusal) else 0


def test_every_declared_route_stands_under_one_rule(site):
    declared = {f"{route.method} {route.path.rstrip('/') or '/'}" for route in site.routes}
    assert set(BY_ROUTE) == declared


@pytest.mark.parametrize("kind", KINDS)
async def test_what_happens_is_what_the_rules_say(stage, kind):
    wrong = []
    # What is removed from the disk is not put back, so that goes last.
    for route, rule in sorted(BY_ROUTE.items(), key=lambda item: item[0].startswith("DELETE /serving-endpoints/files")):
        answer = await stage.call(route, kind)
        got = refusal(answer, rule)
        if got != wanted(route, rule, kind) or answer.status_code >= 500:
            wrong.append(f"{route}: {answer.status_code} {answer.text[:150]}, {rule.name} for {kind}")
    assert not wrong, "\n".join(wrong)


def test_the_page_is_up_to_date():
    assert permission_rules.PAGE.read_text() == permission_rules.page(RULES)
