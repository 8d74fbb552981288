"""What each route of the control plane answers when all is well: a type for JSON, or a media type, by status."""

from collections.abc import Mapping
from typing import Any

from penstock.web.reference.shapes import access, catalogue, endpoints, files, marketplace, throughput
from penstock.web.reference.shapes.shape import Nothing, OpenApi, Pair

BYTES = "application/octet-stream"
RELAYED = dict[str, Any]
"""What MLflow's server says."""
_DETAILED = endpoints.ServingEndpointDetailed
_FILE = {"200": BYTES, "206": BYTES, "412": None, "416": None}
_HEAD = {"200": "", "206": "", "412": None, "416": None}
_NO_CONTENT: dict[str, Any] = {"204": ""}
_PAGES = {"200": "*/*", "304": "", "307": ""}

_SERVING = {
    "GET ": endpoints.ServingEndpoints,
    "POST ": _DETAILED,
    "POST /pt": _DETAILED,
    "PUT /pt/{name}/config": _DETAILED,
    "GET /get-model-optimization-info/{name}/{version}": throughput.OptimizationInfo,
    "GET /profiles/{name}/{version}": throughput.Profiling,
    "POST /profiles/{name}/{version}": throughput.Profiling,
    "GET /{name}": _DETAILED,
    "DELETE /{name}": Nothing,
    "PUT /{name}/config": _DETAILED,
    "POST /{name}/config:cancel": _DETAILED,
    "POST /{name}/config:start": _DETAILED,
    "POST /{name}/config:stop": _DETAILED,
    "PATCH /{name}/tags": endpoints.EndpointTags | list[Pair],
    "PATCH /{name}/notifications": endpoints.EndpointNotifications,
    "PATCH /{name}/telemetry-config": _DETAILED,
    "PUT /{name}/rate-limits": endpoints.EndpointRateLimits,
    "PUT /{name}/ai-gateway": endpoints.AiGateway,
    "GET /{name}/openapi": OpenApi,
    "GET /{name}/metrics": "text/plain",
    "GET /{name}/throughput": throughput.EndpointThroughput,
    "GET /{name}/scaling-decisions": throughput.ScalingDecisions,
    "GET /{name}/served-models/{entity}/build-logs": endpoints.Logs,
    "GET /{name}/served-models/{entity}/logs": endpoints.Logs,
}
_PERMISSIONS = {
    "GET ": endpoints.EndpointPermissions,
    "PUT ": endpoints.EndpointPermissions,
    "PATCH ": endpoints.EndpointPermissions,
    "GET /permissionLevels": endpoints.PermissionLevels,
}
_SECRETS = {
    "POST /scopes/create": Nothing,
    "GET /scopes/list": access.SecretScopeInfos,
    "POST /scopes/delete": Nothing,
    "POST /put": Nothing,
    "POST /delete": Nothing,
    "GET /list": access.SecretKeys,
    "GET /get": access.SecretValue,
    "POST /acls/put": Nothing,
    "POST /acls/delete": Nothing,
    "GET /acls/get": access.SecretAcl,
    "GET /acls/list": access.SecretAcls,
}
_SCIM = {
    "GET /Me": access.ScimPrincipal,
    **{
        f"{method} /{noun}{one}": answer
        for noun, each, page in (
            ("Users", access.ScimPrincipal, access.ScimPrincipals),
            ("ServicePrincipals", access.ScimPrincipal, access.ScimPrincipals),
            ("Groups", access.ScimGroup, access.ScimGroups),
        )
        for one_id in ("{group_id}" if noun == "Groups" else "{principal_id}",)
        for method, one, answer in (
            ("GET", "", page),
            ("POST", "", {"201": each}),
            ("GET", f"/{one_id}", each),
            ("PUT", f"/{one_id}", each),
            ("PATCH", f"/{one_id}", each),
            ("DELETE", f"/{one_id}", Nothing),
        )
    },
}
_CLIENT_SECRETS = {
    "POST ": access.NewClientSecret,
    "GET ": access.ClientSecretInfos,
    "DELETE /{secret_id}": Nothing,
}
_TOKENS = {"POST /create": access.NewToken, "GET /list": access.TokenInfos, "POST /delete": Nothing}
_TOKEN_MANAGEMENT = {
    "GET /tokens": access.ManagedTokens,
    "GET /tokens/{token_id}": access.ManagedToken,
    "DELETE /tokens/{token_id}": Nothing,
    "POST /on-behalf-of/tokens": access.NewManagedToken,
}
_FILES = {
    "PUT /files/{path}": {"200": "", "204": ""},
    "POST /files/{path}": files.UploadAnswer,
    "DELETE /files/{path}": _NO_CONTENT,
    "GET /files/{path}": _FILE,
    "HEAD /files/{path}": _HEAD,
    "GET /directories/{path}": files.DirectoryContents,
    "HEAD /directories/{path}": {"200": ""},
    "PUT /directories/{path}": _NO_CONTENT,
    "DELETE /directories/{path}": _NO_CONTENT,
    "POST /create-upload-url": files.FileUrl,
    "POST /create-download-url": files.FileUrl,
    "POST /create-upload-part-urls": files.PartUrls,
    "POST /create-abort-upload-url": files.AbortUrl,
    "PUT /signed/{path}": {"200": ""},
    "GET /signed/{path}": _FILE,
    "HEAD /signed/{path}": _HEAD,
    "DELETE /signed/{path}": {"200": ""},
}
_MLFLOW_REGISTRY = {
    "POST /registered-models/create": catalogue.MlflowModelAnswer,
    "GET /registered-models/get": catalogue.MlflowModelAnswer,
    "GET /registered-models/search": catalogue.MlflowModels,
    "PATCH /registered-models/update": catalogue.MlflowModelAnswer,
    "DELETE /registered-models/delete": Nothing,
    "POST /registered-models/alias": Nothing,
    "GET /registered-models/alias": catalogue.MlflowVersionAnswer,
    "DELETE /registered-models/alias": Nothing,
    "POST /registered-models/set-tag": Nothing,
    "DELETE /registered-models/delete-tag": Nothing,
    "GET /registered-models:is-databricks-sdk-models-artifact-repository-enabled": catalogue.ArtifactRepository,
    "POST /model-versions/create": catalogue.MlflowVersionAnswer,
    "POST /model-versions/finalize": catalogue.MlflowVersionAnswer,
    "PATCH /model-versions/update": catalogue.MlflowVersionAnswer,
    "DELETE /model-versions/delete": Nothing,
    "GET /model-versions/get": catalogue.MlflowVersionAnswer,
    "GET /model-versions/search": catalogue.MlflowVersions,
    "GET /model-versions/get-download-uri": catalogue.ArtifactUri,
    "POST /model-versions/generate-temporary-credentials": catalogue.MlflowCredentials,
    "POST /model-versions/emit-lineage": Nothing,
    "POST /model-versions/set-tag": Nothing,
    "DELETE /model-versions/delete-tag": Nothing,
}
_SECURABLE = "{securable_type}/{full_name}"
_CATALOGUE = {
    "GET /catalogs": catalogue.CatalogInfos,
    "POST /catalogs": catalogue.CatalogInfo,
    "GET /catalogs/{name}": catalogue.CatalogInfo,
    "PATCH /catalogs/{name}": catalogue.CatalogInfo,
    "DELETE /catalogs/{name}": Nothing,
    "GET /schemas": catalogue.SchemaInfos,
    "POST /schemas": catalogue.SchemaInfo,
    "GET /schemas/{full_name}": catalogue.SchemaInfo,
    "PATCH /schemas/{full_name}": catalogue.SchemaInfo,
    "DELETE /schemas/{full_name}": Nothing,
    "GET /models": catalogue.ModelInfos,
    "POST /models": catalogue.ModelInfo,
    "GET /models/{full_name}": catalogue.ModelInfo,
    "PATCH /models/{full_name}": catalogue.ModelInfo,
    "DELETE /models/{full_name}": Nothing,
    "PUT /models/{full_name}/aliases/{alias}": catalogue.AliasInfo,
    "GET /models/{full_name}/aliases/{alias}": catalogue.VersionInfo,
    "DELETE /models/{full_name}/aliases/{alias}": Nothing,
    "POST /models/versions": catalogue.VersionInfo,
    "GET /models/{full_name}/versions": catalogue.VersionInfos,
    "GET /models/{full_name}/versions/{number}": catalogue.VersionInfo,
    "PATCH /models/{full_name}/versions/{number}": catalogue.VersionInfo,
    "DELETE /models/{full_name}/versions/{number}": Nothing,
    "PATCH /models/{full_name}/versions/{number}/finalize": catalogue.VersionInfo,
    "POST /temporary-model-version-credentials": catalogue.Credentials,
    f"PATCH /securable-tags/{_SECURABLE}": Nothing,
    f"PATCH /subentity-tags/{_SECURABLE}/{{number}}": Nothing,
    f"GET /permissions/{_SECURABLE}": catalogue.PrivilegeAssignments,
    f"PATCH /permissions/{_SECURABLE}": catalogue.PrivilegeAssignments,
    f"GET /privilege-assignments/{_SECURABLE}": catalogue.PrivilegeAssignments,
    f"GET /effective-permissions/{_SECURABLE}": catalogue.EffectiveAssignments,
    f"GET /effective-privilege-assignments/{_SECURABLE}": catalogue.EffectivePrivilegeAssignments,
}
_TRACKING = {
    **{
        f"{method} {path}/{{path}}": RELAYED
        for path, methods in {
            "/experiments": ("GET", "POST"),
            "/runs": ("GET", "POST"),
            "/metrics": ("GET",),
            "/logged-models": ("GET", "POST", "PATCH", "DELETE"),
        }.items()
        for method in methods
    },
    "GET /artifacts/list": RELAYED,
    "POST /logged-models": RELAYED,
}
_ARTIFACTS = {
    "GET /artifacts": files.RunArtifacts,
    "GET /artifacts/{path}": _FILE,
    "PUT /artifacts/{path}": Nothing,
    "DELETE /artifacts/{path}": Nothing,
    "POST /mpu/{path}": {},
}
_BATCHES = {
    "GET /files": files.BatchFiles,
    "POST /files": files.BatchFile,
    "GET /files/{file_id}": files.BatchFile,
    "DELETE /files/{file_id}": files.DeletedFile,
    "GET /files/{file_id}/content": "application/jsonl",
    "GET /batches": files.Batches,
    "POST /batches": files.BatchAnswer,
    "GET /batches/{batch_id}": files.BatchAnswer,
    "POST /batches/{batch_id}/cancel": files.BatchAnswer,
}
_MARKETPLACE = {
    "GET /models": marketplace.MarketListings,
    "GET /models/{owner}/{name}": marketplace.MarketPage,
    "GET /installs": marketplace.MarketInstalls,
    "POST /installs": marketplace.MarketInstall,
    "GET /installs/{install_id}": marketplace.MarketInstall,
    "DELETE /installs/{install_id}": Nothing,
    "POST /installs/{install_id}/cancel": marketplace.MarketInstall,
    "POST /installs/{install_id}/resume": marketplace.MarketInstall,
}
_SERVER = {
    "GET /": {"307": ""},
    "GET /docs": "text/html",
    "GET /openapi.json": OpenApi,
    "GET /metrics": "text/plain",
    "GET /health/live": access.Live,
    "GET /health/ready": {"200": access.Ready, "503": access.Ready},
    "GET /.well-known/databricks-config": access.HostConfig,
    "GET /oidc/.well-known/oauth-authorization-server": access.AuthorizationServer,
    "GET /oidc/.well-known/openid-configuration": access.AuthorizationServer,
    "POST /oidc/v1/token": access.AccessTokenAnswer,
    "GET /api/2.0/audit-logs": access.AuditRecords,
    "POST /api/2.0/external-function": {},
    "GET /api/3.0/mlflow/server-info": RELAYED,
    "GET /ml": _PAGES,
    "GET /ml/{path}": _PAGES,
    "POST /ml/graphql": RELAYED,
    "GET /ml/ajax-api/2.0/mlflow-artifacts/artifacts": files.RunArtifacts,
    "GET /ml/ajax-api/2.0/mlflow-artifacts/artifacts/{path}": {**_FILE, "200": "*/*", "206": "*/*"},
    **{f"{method} /ml/ajax-api/{{path}}": RELAYED for method in ("GET", "POST", "PATCH", "DELETE")},
}
_PARTS: Mapping[str, Mapping[str, Any]] = {
    "": _SERVER,
    "/api/2.0/serving-endpoints": _SERVING,
    "/api/2.0/permissions/serving-endpoints/{endpoint_id}": _PERMISSIONS,
    "/api/2.0/secrets": _SECRETS,
    "/api/2.0/preview/scim/v2": _SCIM,
    "/api/2.0/accounts/servicePrincipals/{principal_id}/credentials/secrets": _CLIENT_SECRETS,
    "/api/2.0/token": _TOKENS,
    "/api/2.0/token-management": _TOKEN_MANAGEMENT,
    "/api/2.0/fs": _FILES,
    "/api/2.0/mlflow/unity-catalog": _MLFLOW_REGISTRY,
    "/api/2.1/unity-catalog": _CATALOGUE,
    "/api/2.0/marketplace": _MARKETPLACE,
    "/api/2.0/mlflow": _TRACKING,
    "/api/2.0/mlflow-artifacts": _ARTIFACTS,
    "/serving-endpoints": _BATCHES,
}


def _whole(part: str, route: str) -> str:
    method, _, path = route.partition(" ")
    return f"{method} {part}{path}"


ANSWERS: Mapping[str, Mapping[str, Any]] = {
    _whole(part, route): answer if isinstance(answer, dict) else {"200": answer}
    for part, routes in _PARTS.items()
    for route, answer in routes.items()
}
"""By method and path; there by status a type, a media type, "" for no body, or None for an error."""
