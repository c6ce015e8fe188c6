"""LeadSquared's regions and their hosts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """
    One of LeadSquared's regions.

    :param code: Its code, as the hosts have it.
    :param country: Where it is, for people.
    :param is_documented: Whether LeadSquared documents its asynchronous host. The hosts of the others follow the same
        pattern; whether there is an Async API, the connection test says.
    """

    code: str
    country: str
    is_documented: bool = False

    @property
    def async_host(self) -> str:
        """The host of the Async API."""
        return f"asyncapi{self._suffix}.leadsquared.com"

    @property
    def synchronous_host(self) -> str:
        """The host of the synchronous API."""
        return f"api{self._suffix}.leadsquared.com"

    @property
    def web_host(self) -> str:
        """The host of the web application."""
        return f"{self.code if self._suffix else 'run'}.leadsquared.com"

    @property
    def _suffix(self) -> str:
        return "" if self.code == "sg" else f"-{self.code}"  # the first region's hosts have none


#: By code; those whose asynchronous host is documented come first. For any other, the connection names the host.
REGIONS: dict[str, Region] = {
    region.code: region
    for region in (
        Region("in21", "India, Mumbai", is_documented=True),
        Region("us11", "United States", is_documented=True),
        Region("sg", "Singapore", is_documented=True),
        Region("in22", "India, Hyderabad"),
        Region("ir31", "Ireland"),
        Region("ca12", "Canada"),
        Region("me61", "Middle East"),
        Region("id51", "Indonesia, Jakarta"),
    )
}


def region_of(async_url: str) -> Region | None:
    """Return the region that an asynchronous host belongs to; None for hosts of no known region."""
    return next((region for region in REGIONS.values() if async_url == f"https://{region.async_host}"), None)
