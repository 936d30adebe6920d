"""Metrics as Prometheus reads them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client.parser import text_string_to_metric_families

from support.server import Site
from support.waiting import until

Samples = dict[tuple[str, ...], float]
"""Value by name, without the prefix, and the values of the labels in alphabetical order."""


def parsed(text: str) -> Samples:
    """Read the text of `/metrics`."""
    return {
        (sample.name.removeprefix("orchestrator_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(site: Site) -> Samples:
    """Read the metrics of a site."""
    answer = await site.request("GET", "/metrics")
    assert answer.status_code == 200
    return parsed(answer.text)


class Growth:
    """How much metrics have grown since a moment: those of a process are shared by all tests in it."""

    def __init__(self, site: Site, before: Samples) -> None:
        self._site, self._before = site, before

    async def of(self, *key: str) -> float:
        """Tell how much one has grown."""
        name, *labels = key
        key = (name, *sorted(labels))
        return (await scraped(self._site)).get(key, 0) - self._before.get(key, 0)

    async def reaches(self, value: float, *key: str) -> None:
        """Wait until one has grown by this."""

        async def is_there() -> bool:
            return await self.of(*key) >= value

        await until(is_there)
        assert await self.of(*key) == value


@asynccontextmanager
async def growing(site: Site) -> AsyncIterator[Growth]:
    """Watch how metrics grow while the context lasts."""
    yield Growth(site, await scraped(site))
