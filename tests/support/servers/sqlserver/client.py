"""Asks a server as other people do: client.py pymssql|python-tds PORT ENCRYPTION CA DATABASE USER PASSWORD, one question a line.

One answer a line: the rows as JSON, or the number of the error."""
import json
import sys

library, port, encryption, ca, database, user, password = sys.argv[1:8]
if library == "pymssql":
    import pymssql as module

    def connect():
        levels = {"disable": "off", "true": "require"}
        return module.connect(server="127.0.0.1", port=port, user=user, password=password, database=database,
                              encryption=levels[encryption], login_timeout=10, timeout=10, autocommit=True)
else:
    import pytds as module

    def connect():
        return module.connect(dsn="127.0.0.1", port=int(port), user=user, password=password, database=database,
                              cafile=ca if encryption == "true" else None, login_timeout=10, timeout=10, autocommit=True)


def number(error):
    known = getattr(error, "number", None) or getattr(error, "msg_no", None)
    return known or next((a[0] if isinstance(a, tuple) else a for a in error.args if not isinstance(a, str)), str(error))


try:
    connection = connect()
except module.Error as error:
    sys.exit(print(json.dumps({"refused": number(error)})))
for question in sys.stdin:
    cursor = connection.cursor()
    try:
        cursor.execute(question)
        rows = [list(row) for row in cursor.fetchall()] if cursor.description else []
        print(json.dumps({"rows": rows}, default=str))
    except module.Error as error:
        print(json.dumps({"error": number(error)}))
connection.close()
