/** Node's HTTP. To import it would load all that its namespace names, also fetch and WebSocket: 6 MB more for the agent, and a tenth of its start. */
export const http = process.getBuiltinModule('node:http')
