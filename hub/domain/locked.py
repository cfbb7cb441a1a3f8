"""Files of a repository that hold something else than they seem to: encrypted by other tools, or not there. Pure.

What is decrypted on people's machines (git-crypt, git-secret) would have to be on the hub, which is to know no secret.
"""

from __future__ import annotations

_SIGNS = (
    (
        b"\0GITCRYPT\0",
        "it is encrypted by git-crypt, which nobody but people can open",
        "encrypt it for the clusters with SOPS instead: yardarm secret encrypt (docs/SECRETS.md)",
    ),
    (
        b"-----BEGIN PGP MESSAGE-----",
        "it is encrypted for OpenPGP keys, as git-secret does it, which clusters do not have",
        "encrypt it for the clusters with SOPS instead: yardarm secret encrypt (docs/SECRETS.md)",
    ),
    (
        b"-----BEGIN AGE ENCRYPTED FILE-----",
        "it is encrypted with age as a whole: nobody can tell what is in it",
        "encrypt its values with SOPS instead: yardarm secret encrypt (docs/SECRETS.md)",
    ),
    (
        b"age-encryption.org/v1",
        "it is encrypted with age as a whole: nobody can tell what is in it",
        "encrypt its values with SOPS instead: yardarm secret encrypt (docs/SECRETS.md)",
    ),
    (
        b"version https://git-lfs.github.com/spec/",
        "it is a pointer of Git LFS, whose content is not in the repository",
        "keep manifests in Git itself: git lfs migrate export",
    ),
)


def locked(data: bytes) -> tuple[str, str] | None:
    """What is the matter with a file and what to do about it; None when its content is there to be read."""
    start = data[:64].lstrip(b"\xef\xbb\xbf \r\n")
    return next(((what, hint) for sign, what, hint in _SIGNS if start.startswith(sign)), None)
