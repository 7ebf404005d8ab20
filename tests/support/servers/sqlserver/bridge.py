"""pysqlbridge with a certificate of ours: bridge.py CERTIFICATE KEY ARGUMENTS...

Of its own accord it makes one that nobody can verify."""
import logging
import sys

from pysqlbridge import certificate, server

ours = certificate.load(sys.argv[1], sys.argv[2])
server.self_signed = certificate.self_signed = lambda *_, **__: ours
sys.argv[1:3] = []
# It would tell of each question.
logging.disable(logging.INFO)
sys.exit(server.main())
