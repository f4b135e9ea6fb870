"""A scraper of the simplest kind: python3 scraper.py SOURCE-ADDRESS."""

import socket
import ssl
import sys

context = ssl.create_default_context(cafile="cert.pem")
source = (sys.argv[1], 0)
try:
    plain = socket.create_connection(("192.0.2.10", 443), 2, source)
    with context.wrap_socket(plain, server_hostname="shop.example") as tls:
        tls.sendall(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
        print(tls.recv(4096).splitlines()[0].decode())
except OSError as error:
    sys.exit(f"no connection: {error}")
