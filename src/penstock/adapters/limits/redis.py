"""The common budget of several gateways in Redis: one hash for each limit, changed by a script, by Redis' own clock.

    s:<slot>      used in that quarter of a second
    h:<gateway>   what it holds, and until when it counts
    t:<gateway>   all that it has told as used

A Redis that has lost its memory knows neither. The key `born` says since when it remembers: for a minute from then
nothing is granted, in which gateways tell what they hold and have used. So it is on the very first start too.

The clock of Redis' machine may be set. So time here is what has passed by it between trades, added up in the key
`clock`: never back, and no further than a gateway says that has traded before, by a clock that is not set.
"""

import importlib
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from penstock.domain.errors import PenstockError, Temporary
from penstock.ports.lease import Claim, Grant

CAUTION_S = 61.0
_PREFIX = "penstock:limits:"
_TIMEOUT_S = 2.0
_TRADE = """
local t = redis.call('TIME')
local wall = tonumber(t[1]) + tonumber(t[2]) / 1000000
local now, passed = wall, tonumber(ARGV[10])
local kept = redis.call('HMGET', KEYS[3], 'now', 'wall')
if kept[1] then
  local moved = math.max(wall - tonumber(kept[2]), 0)
  if passed >= 0 and moved > passed + 1 then
    moved = passed
  end
  now = tonumber(kept[1]) + moved
end
redis.call('HSET', KEYS[3], 'now', string.format('%.6f', now), 'wall', string.format('%.6f', wall))
local slot = math.floor(now * 4)
local key, gateway = KEYS[1], ARGV[1]
local limit, spent, recent = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local holds, want, life = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local born = redis.call('GET', KEYS[2])
if not born then
  born = string.format('%.6f', now)
  redis.call('SET', KEYS[2], born)
end
local all, used, others, slots = redis.call('HGETALL', key), 0, 0, {}
local told
for i = 1, #all, 2 do
  local kind, name, value = string.sub(all[i], 1, 2), string.sub(all[i], 3), all[i + 1]
  if kind == 's:' then
    if tonumber(name) <= slot - 241 then
      redis.call('HDEL', key, all[i])
    else
      used = used + tonumber(value)
      slots[#slots + 1] = {tonumber(name), tonumber(value)}
    end
  elseif kind == 'h:' and name ~= gateway then
    local amount, ends = string.match(value, '^(%d+):(.+)$')
    if tonumber(ends) < now then
      redis.call('HDEL', key, all[i], 't:' .. name)
    else
      others = others + tonumber(amount)
    end
  elseif kind == 't:' and name == gateway then
    told = tonumber(value)
  end
end
local fresh = recent
if told then fresh = math.max(spent - told, 0) end
if fresh > 0 then
  redis.call('HINCRBY', key, 's:' .. slot, string.format('%.0f', fresh))
  used = used + fresh
  slots[#slots + 1] = {slot, fresh}
end
local left = limit - used - others - holds
local wait = 0
if now < tonumber(born) + tonumber(ARGV[9]) then
  wait = tonumber(born) + tonumber(ARGV[9]) - now
  left = 0
end
local grant = math.max(math.min(want, left), 0)
if grant < want and wait == 0 then
  table.sort(slots, function(a, b) return a[1] < b[1] end)
  local lack = want - grant
  wait = 60.25
  for _, one in ipairs(slots) do
    lack = lack - one[2]
    if lack <= 0 then
      wait = math.max((one[1] + 241) / 4 - now, 0.05)
      break
    end
  end
end
if ARGV[8] == '1' and holds + grant == 0 then
  redis.call('HDEL', key, 'h:' .. gateway, 't:' .. gateway)
else
  redis.call('HSET', key, 'h:' .. gateway, string.format('%.0f:%.3f', holds + grant, now + life),
    't:' .. gateway, string.format('%.0f', spent))
end
redis.call('EXPIRE', key, math.ceil(life) + 86400)
return {string.format('%.0f', grant), string.format('%.0f', math.max(left - grant, 0)), string.format('%.3f', wait)}
"""


class RedisLeases:
    """See `penstock.ports.lease.Leases`."""

    def __init__(self, url: str, life_s: float, *, prefix: str = _PREFIX, caution_s: float = CAUTION_S) -> None:
        """`life_s` is for how long what a gateway holds counts after it was last heard of.

        Raises PenstockError if the library is missing.
        """
        self._client = _client(url)
        self._script: Any = self._client.register_script(_TRADE)
        self._life_s = life_s
        self._prefix = prefix
        self._caution_s = caution_s
        self._gateway = uuid4().hex
        self._traded_at: float | None = None

    @property
    def gateway(self) -> str:
        """New for each process: what an earlier one held stays taken until it must be over."""
        return self._gateway

    async def trade(self, claims: Sequence[Claim]) -> Sequence[Grant]:
        """All claims in one round trip."""
        now = time.monotonic()
        # One that is new cannot tell how long it was.
        passed_s = -1.0 if self._traded_at is None else now - self._traded_at
        redis_error = importlib.import_module("redis.exceptions").RedisError
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for one in claims:
                    await self._script(
                        keys=[self._key(one.key), self._key("born"), self._key("clock")],
                        args=[
                            self._gateway, one.limit, one.spent, one.recent, one.held, one.want, self._life_s,
                            int(one.last), self._caution_s, passed_s,
                        ],
                        client=pipe,
                    )  # fmt: skip
                answers = await pipe.execute()
        except (redis_error, OSError, TimeoutError) as error:
            raise Temporary(
                f"Redis, where gateways share rate limits, cannot be reached: {str(error).rstrip('.')}."
            ) from error
        self._traded_at = now
        return [Grant(int(granted), int(left), float(wait_s)) for granted, left, wait_s in answers]

    def _key(self, name: str) -> str:
        return f"{self._prefix}{{limits}}:{name}"

    async def close(self) -> None:
        """Lets go of connections."""
        await self._client.aclose()


def _client(url: str) -> Any:
    try:
        redis = importlib.import_module("redis.asyncio")
        retry = importlib.import_module("redis.asyncio.retry")
        backoff = importlib.import_module("redis.backoff")
    except ImportError as error:
        raise PenstockError(
            "limits.redis_url is set, but the library redis is not installed: pip install 'penstock[redis]'."
        ) from error
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=retry.Retry(backoff.NoBackoff(), 1),
        )
    except ValueError as error:
        raise PenstockError(f"limits.redis_url is not an address of Redis: {error}.") from error
