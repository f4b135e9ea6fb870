"""A client that greets as Chrome does: python3 chrome.py SOURCE-ADDRESS."""

import sys

from curl_cffi import CurlOpt, requests

session = requests.Session(
    impersonate="chrome",
    interface=sys.argv[1],
    verify="cert.pem",
    timeout=3,
    curl_options={CurlOpt.RESOLVE: ["shop.example:443:192.0.2.10"]},
)
print("HTTP", session.get("https://shop.example/").status_code)
