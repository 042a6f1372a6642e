// Drives `openmanus-graph mcp serve` by the official client of TypeScript; prints what it got as JSON.
// Arguments: the client's folder, the command as JSON, the working folder, the plans as JSON.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, command, cwd, plans] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/`));
const load = async (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${name}`)));
const { Client } = await load("client/index.js");
const { StdioClientTransport } = await load("client/stdio.js");
const { ElicitRequestSchema } = await load("types.js");

const client = new Client({ name: "typescript", version: "1" }, { capabilities: { elicitation: {} } });
const asked = [];
client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
  asked.push(params.message);
  return { action: "accept", content: { answer: "Ada" } };
});
const [program, ...args] = JSON.parse(command);
const transport = new StdioClientTransport({ command: program, args, cwd, env: process.env, stderr: "inherit" });
await client.connect(transport);
const { tools } = await client.listTools();
const told = [];
const results = [];
for (const plan of JSON.parse(plans)) {
  const call = { name: "run", arguments: { plan, wait_s: 60 } };
  const options = { timeout: 120_000, onprogress: ({ message }) => told.push(message) };
  results.push(await client.callTool(call, undefined, options));
}
const failed = await client.callTool({ name: "status", arguments: { thread: "none" } });
await client.close();
console.log(JSON.stringify({ tools: tools.map(({ name }) => name), results, failed, asked, told }));
