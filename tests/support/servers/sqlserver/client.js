// Asks a server as other people do: client.js PORT ENCRYPTION CA DATABASE USER PASSWORD, one question a line.
// One answer a line: the rows as JSON, or the number of the error.
const { Connection, Request } = require("tedious");
const fs = require("fs");

const [port, encryption, ca, database, userName, password] = process.argv.slice(2);
const questions = fs.readFileSync(0, "utf8").split("\n").filter(Boolean);
const connection = new Connection({
    server: "127.0.0.1",
    authentication: { type: "default", options: { userName, password } },
    options: {
        port: Number(port),
        database,
        serverName: "localhost",
        encrypt: encryption === "strict" ? "strict" : encryption === "true",
        trustServerCertificate: false,
        cryptoCredentialsDetails: { ca: fs.readFileSync(ca) },
        connectTimeout: 10000,
        requestTimeout: 10000,
    },
});
const say = (answer) => console.log(JSON.stringify(answer));

function next() {
    const question = questions.shift();
    if (question === undefined) {
        return connection.close();
    }
    const rows = [];
    const request = new Request(question, (error) => {
        say(error ? { error: error.number || error.code } : { rows });
        next();
    });
    request.on("row", (columns) => rows.push(columns.map((column) => column.value)));
    connection.execSqlBatch(request);
}

connection.on("errorMessage", () => {});
connection.on("error", () => {});
connection.connect((error) => {
    if (error) {
        say({ refused: error.number || (error.cause && error.cause.number) || error.code });
        return connection.close();
    }
    next();
});
