"""From the sources of a plan to files on this PC: folders listed, addresses downloaded and kept for the next run."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from maixpix.companion.convert import convert
from maixpix.companion.pictures import PictureFolder
from maixpix.companion.problems import Refused
from maixpix.companion.settings import PictureLimits
from maixpix.download import DownloadError, Downloads, Options, Result
from maixpix.download.downloads import get_many
from maixpix.download.filename import url_name
from maixpix.errors import UserError
from maixpix.fill.model import SUFFIX, check_model
from maixpix.fill.plan import Group, Plan

LIMITS = PictureLimits()


@dataclass(frozen=True)
class Source:
    """One file that is to go onto the card. `key` names it in the lock; `file` is where it is on this PC."""

    key: str
    group: Group
    name: str
    file: Path

    @property
    def made(self) -> str:
        """How the card's file is made from this one; the same text, the same bytes."""
        return self.group.rendition.key if self.group.rendition is not None else ""

    @property
    def suffix(self) -> str:
        """Suffix of its name on the card."""
        if self.group.rendition is not None:
            return ".jpg" if self.group.rendition.format == "jpeg" else ".bmp"
        if self.group.kind == "models":
            return SUFFIX
        return Path(self.name).suffix.lower()[:4]


@dataclass
class Gathered:
    """All sources of a plan, and how many bytes of them came over the network."""

    sources: list[Source]
    downloaded: int = 0


class Store:
    """The folder beside the plan that keeps downloads and converted pictures between runs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._root = plan.path.with_name(plan.path.stem + ".files")

    def gather(self, may_download: bool = True) -> Gathered:
        """Every source as a file here. Raises `UserError` for what is missing or cannot be had.

        With `may_download` False, addresses stand for what an earlier run kept, and are left out where it kept nothing.
        """
        found = Gathered([])
        addresses = [(source, group) for group in self._plan.groups for source in group.sources if _is_address(source)]
        kept = {source: self._kept(source) for source, _ in addresses}
        if may_download and addresses:
            found.downloaded = self._download(addresses, kept)
        for group in self._plan.groups:
            for source in group.sources:
                if _is_address(source):
                    if kept[source].exists():
                        found.sources.append(Source(source, group, url_name(source) or "file", kept[source]))
                else:
                    found.sources += self._local(source, group)
        keys = [source.key for source in found.sources]
        doubled = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if doubled is not None:
            raise UserError(f"{doubled} is in the plan twice", "name it once")
        return found

    def bytes_for(self, source: Source, sha256: str) -> bytes:
        """What goes onto the card for `source`, whose content has the digest `sha256`."""
        if source.group.rendition is None:
            data = source.file.read_bytes()
            if source.group.kind == "models":
                check_model(data, source.name, self._plan.build)
            if source.group.sha256 and sha256 != source.group.sha256:
                raise UserError(f"{source.name} has not the digest that the plan asks for", "check file and plan")
            return data
        made = self._root / "made" / hashlib.sha256(f"{sha256} {source.made}".encode()).hexdigest()[:32]
        if made.exists():
            return made.read_bytes()
        try:
            with source.file.open("rb") as file:
                data = convert(io.BytesIO(file.read()), source.group.rendition, LIMITS)
        except Refused as refused:
            raise UserError(f"{source.key}: {refused.cause}", refused.remedy) from None
        made.parent.mkdir(parents=True, exist_ok=True)
        new = made.with_suffix(".new")
        new.write_bytes(data)
        new.replace(made)
        return data

    def _local(self, source: str, group: Group) -> list[Source]:
        path = self._plan.path.parent / source
        if path.is_dir():
            if group.kind == "pictures":
                pictures = PictureFolder(path, LIMITS.max_pictures).list()
                return [Source(f"{source}/{one.name}", group, one.path.name, one.path) for one in pictures]
            files = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
            return [Source(f"{source}/{one.name}", group, one.name, one) for one in files]
        if not path.is_file():
            raise UserError(f"there is no {path}", "check the plan")
        return [Source(source, group, path.name, path)]

    def _kept(self, address: str) -> Path:
        return self._root / "got" / hashlib.sha256(address.encode()).hexdigest()[:32]

    def _download(self, addresses: Sequence[tuple[str, Group]], kept: dict[str, Path]) -> int:
        async def run() -> list[Result | DownloadError]:
            wanted = [(address, kept[address], None, group.sha256) for address, group in addresses]
            async with Downloads(Options(if_changed=True)) as downloads:
                return await get_many(downloads, wanted)

        results = asyncio.run(run())
        for (address, _), result in zip(addresses, results, strict=True):
            if isinstance(result, DownloadError):
                raise UserError(f"{address}: {result.message}", result.remedy)
        return sum(result.received for result in results if isinstance(result, Result))


def digest_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file. Raises `UserError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            sha = hashlib.sha256()
            while piece := file.read(1024 * 1024):
                sha.update(piece)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check its permissions") from None
    return sha.hexdigest()


def _is_address(source: str) -> bool:
    return urlsplit(source).scheme in ("http", "https")
