// Logs in by node-oracledb's thin mode and asks: ask.cjs CONNECT_STRING USER PASSWORD STATEMENT...
const [connectString, user, password, ...statements] = process.argv.slice(2);
const oracledb = require("oracledb");

async function ask() {
  const connection = await oracledb.getConnection({ connectString, user, password });
  await connection.ping();
  const said = { version: connection.oracleServerVersionString, warning: String(connection.warning ?? ""), answers: [] };
  for (const statement of statements) {
    try {
      const answer = statement === "COMMIT" ? await connection.commit() : await connection.execute(statement);
      said.answers.push((answer?.rows ?? []).map((row) => row.map(String)));
    } catch (error) {
      said.answers.push(error.code);
    }
  }
  await connection.close();
  return said;
}

ask().catch((error) => ({ error: String(error.message) })).then((said) => console.log(JSON.stringify(said)));
