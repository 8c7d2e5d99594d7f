"""A second signer: signer.py REQUESTS.json prints botocore's Authorization of each, one a line.

REQUESTS is a list of {"method", "url", "headers": [[name, value], ...], "body": base64, "service",
"region", "access_key", "secret_key", "token", "time"}.
"""
import base64
import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

with open(sys.argv[1]) as f:
    requests = json.load(f)
for r in requests:
    now = datetime.datetime.fromtimestamp(r["time"], datetime.timezone.utc).replace(tzinfo=None)
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True, now=now: now
    request = AWSRequest(r["method"], r["url"], data=base64.b64decode(r["body"]))
    for name, value in r["headers"]:
        request.headers.add_header(name, value)
    signer = botocore.auth.S3SigV4Auth if r["service"] == "s3" else botocore.auth.SigV4Auth
    keys = Credentials(r["access_key"], r["secret_key"], r.get("token"))
    signer(keys, r["service"], r["region"]).add_auth(request)
    print(request.headers["Authorization"])
