"""Logs in by python-oracledb's thin mode and asks: ask.py CONNECT_STRING USER PASSWORD STATEMENT..."""

import json
import sys

import oracledb

dsn, user, password, *statements = sys.argv[1:]
try:
    with oracledb.connect(user=user, password=password, dsn=dsn, retry_count=0) as connection:
        connection.ping()
        said = {"version": connection.version, "warning": str(connection.warning or ""), "answers": []}
        for statement in statements:
            with connection.cursor() as cursor:
                try:
                    connection.commit() if statement == "COMMIT" else cursor.execute(statement)
                    said["answers"].append([[str(value) for value in row] for row in cursor] if cursor.description else [])
                except oracledb.DatabaseError as error:
                    said["answers"].append(error.args[0].full_code)
        print(json.dumps(said))
except oracledb.Error as error:
    print(json.dumps({"error": str(error)}))
