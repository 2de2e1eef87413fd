"""Keys of a registry that a push or a promotion writes, and keys that an attacker would try."""

from __future__ import annotations

from tests.embedded_aws import REGION

HEX = "a" * 64
NUMBER = "0000000001"

#: What pushes of `fraud` and `churn` write, and what a promotion of `fraud:prod` does.
PUSHED = [
    f"blobs/sha256/{HEX}",
    f"models/fraud/versions/{NUMBER}.json",
    f"models/fraud/digests/{HEX}.json",
    f"models/churn/versions/{NUMBER}.json",
    f"models/churn/digests/{HEX}.json",
]
PROMOTED = [f"models/fraud/aliases/prod/{NUMBER}.json"]

#: What is neither.
HOSTILE = [
    "models/fraud/aliases/prod/versions//x",
    f"models/fraud/aliases/prod/versions/{NUMBER}.json",
    f"models/fraud/aliases/prod/digests/{HEX}.json",
    f"models/fraud/aliases/staging/{NUMBER}.json",
    f"models/fraud/aliases/versions/{NUMBER}.json",
    f"models/fraud/aliases/prod//{NUMBER}.json",
    f"models/fraud/aliases/prod/../prod/{NUMBER}.json",
    f"models/fraud/aliases/prod/{NUMBER}.json/x",
    f"models/fraud/aliases/prod/{NUMBER}.json//x",
    f"models/fraud/aliases/prod/0{NUMBER}.json",
    f"models/fraud/versions/{NUMBER}.json//x",
    f"models/fraud/versions/{NUMBER}.json/",
    f"models/fraud/versions/0{NUMBER}.json",
    f"models/fraud/versions/deeper/{NUMBER}.json",
    "models/fraud/versions//x",
    "models/fraud/versions/../x",
    "models/fraud/versions/\x01",
    "models/fraud/versions/",
    f"models/fraud/digests/{HEX}.json/x",
    "models/fraud/digests/x.json",
    f"models/fraud//versions/{NUMBER}.json",
    f"models/fraud/x/versions/{NUMBER}.json",
    f"models//versions/{NUMBER}.json",
    f"models/other/versions/{NUMBER}.json",
    f"models/fraud-2/versions/{NUMBER}.json",
    f"models/x/models/fraud/versions/{NUMBER}.json",
    f"/models/fraud/versions/{NUMBER}.json",
    f"x/models/fraud/aliases/prod/{NUMBER}.json",
    "blobs/x",
    f"blobs/sha256/{HEX}/x",
    f"blobs/md5/{HEX}",
    f"releases/000000000000-{REGION}-acme-fraud-0a1b2c3d/prod/{NUMBER}.json",
    f"deployments/000000000000-{REGION}-acme-fraud-0a1b2c3d.json",
    "deployments/x.json",
    f"packages/acme/{HEX}.zip",
    "",
]
