"""A SOPS document decrypted, or refused as a whole.

What is encrypted is told by its form. SOPS tells it by the document's rules, which are regular expressions by whoever
wrote the document; that would be the agent's to run, and it proves nothing more: a ciphertext in place of a value, or
the reverse, does not go with the MAC.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidMessage
from shared.sealed import SOPS, Path, dotted, is_encrypted, mapped, recipients
from shared.sops.ages import Identities
from shared.sops.cipher import Cipher, context_of
from shared.sops.errors import NoKey, NotOpened
from shared.sops.scalars import as_bytes

ONLY_ENCRYPTED = hashlib.sha256(b"sops").digest()
"""What a MAC over encrypted values alone begins with."""
NAMED = 3
"""Recipients that an error names."""
_OTHERS = ("kms", "gcp_kms", "azure_kv", "hc_vault", "pgp")


def opened(document: Mapping[str, Any], identities: Identities) -> dict[str, Any]:
    """The document without SOPS' part, its values decrypted, in its order.

    Raises:
        NoKey: none of the keys is one it is encrypted for.
        NotOpened: it was changed, or uses what is not supported. Nothing of it is returned, and no message holds a
            decrypted value.
    """
    about = document.get(SOPS)
    if not isinstance(about, Mapping):
        raise NotOpened("it has no map `sops`: it is not encrypted")
    cipher = Cipher(data_key(about, identities))
    hasher = hashlib.sha512()
    only_encrypted = about.get("mac_only_encrypted") is True
    if only_encrypted:
        hasher.update(ONLY_ENCRYPTED)

    def one(path: Path, value: Any) -> Any:
        hidden = is_encrypted(value)
        if hidden:
            try:
                value = cipher.opened(value, context_of(path))
            except NotOpened as error:
                raise NotOpened(f"{dotted(path)}: {error}") from None
        if value is not None and (hidden or not only_encrypted):
            hasher.update(as_bytes(value))
        return value

    try:
        result = mapped(document, one)
    except InvalidMessage as error:
        raise NotOpened(str(error)) from None
    if not hmac.compare_digest(_mac(about, cipher), hasher.hexdigest().upper()):
        raise NotOpened(
            "its MAC does not fit: something in it was changed, added, taken out or reordered since it was encrypted. "
            "Edit it with `sops`, and keep other tools away from it"
        )
    return result


def data_key(about: Mapping[str, Any], identities: Identities) -> bytes:
    """The key that a document's values are encrypted with.

    Raises:
        NoKey: none of the identities opens it.
        NotOpened: it is not one that age alone opens.
    """
    if about.get("shamir_threshold") or about.get("key_groups"):
        raise NotOpened("it is encrypted for several key groups at once, which is not supported: use one")
    listed = about.get("age")
    if not isinstance(listed, list) or not listed:
        others = ", ".join(name for name in _OTHERS if about.get(name))
        what = f"it is encrypted with {others} only" if others else "it names nobody it is encrypted for"
        raise NotOpened(f"{what}: clusters have age keys, encrypt it for them")
    for wrapped in _ours_first(listed, identities):
        try:
            return identities.unwrapped(wrapped)
        except NoKey:
            continue
    theirs, ours = recipients({SOPS: about}), ", ".join(identities.recipients)
    more = f" and {len(theirs) - NAMED} more" if len(theirs) > NAMED else ""
    raise NoKey(f"encrypt it for {ours} too: it is for {', '.join(theirs[:NAMED])}{more}")


def _ours_first(listed: list[Any], identities: Identities) -> list[str]:
    """The encrypted data keys, those for us before others: a document may be for a thousand clusters."""
    ours, others = list[str](), list[str]()
    for entry in listed:
        wrapped = entry.get("enc") if isinstance(entry, Mapping) else None
        if not isinstance(wrapped, str):
            raise NotOpened("its list of age recipients cannot be read")
        (ours if entry.get("recipient") in identities.recipients else others).append(wrapped)
    return ours + others


def _mac(about: Mapping[str, Any], cipher: Cipher) -> str:
    mac, modified = about.get("mac"), about.get("lastmodified")
    if not isinstance(mac, str) or not mac or not isinstance(modified, str):
        raise NotOpened("it has no MAC: nobody can tell whether it was changed")
    try:
        found = cipher.opened(mac, modified)
    except NotOpened as error:
        raise NotOpened(f"sops.mac: {error}") from None
    return found if isinstance(found, str) else ""
