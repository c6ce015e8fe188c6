"""LeadSquared's regions and their hosts."""

from __future__ import annotations

#: By region the asynchronous and the synchronous host, as LeadSquared documents them. Others exist; for these the
#: connection names the host.
REGIONS: dict[str, tuple[str, str]] = {
    "in21": ("asyncapi-in21.leadsquared.com", "api-in21.leadsquared.com"),
    "us11": ("asyncapi-us11.leadsquared.com", "api-us11.leadsquared.com"),
    "sg": ("asyncapi.leadsquared.com", "api.leadsquared.com"),
}
